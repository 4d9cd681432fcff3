//! A load balancer with one rule that forwards to two target groups by weight, and its users.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::{
    Client,
    types::{
        Action, ActionTypeEnum, AuthenticateCognitoActionConfig, Certificate,
        FixedResponseActionConfig, ForwardActionConfig, ProtocolEnum, RuleCondition,
        TargetDescription, TargetGroupStickinessConfig, TargetGroupTuple, TargetTypeEnum,
    },
};
use serde_json::{Value, json};

use crate::{LocalAws, Target, Traffic, local::Control, traffic::Met};

/// What the rule is for: all requests whose path begins so.
const PATH: &str = "/chat";
/// The service that asks functions behind a load balancer.
const PRINCIPAL: &str = "elasticloadbalancing.amazonaws.com";

/// A listener's rule, or its default action, that forwards to two target groups. It begins with
/// all weight on the first, 100 to 0.
#[derive(Clone, Debug)]
pub struct Alb {
    /// The listener's ARN.
    pub listener: String,
    /// The rule's ARN; none when the listener's default action forwards.
    pub rule: Option<String>,
    /// The ARN of the target group that has all weight at first.
    pub blue: String,
    /// The ARN of the other.
    pub green: String,
    /// The load balancer's DNS name.
    pub host: String,
    /// The load balancer's name in CloudWatch, such as `app/chat/50dc6c495c0c9188`.
    pub dimension: String,
    client: Client,
    control: Control,
}

/// How a load balancer is made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// The groups' targets are machines, one in each, and not functions.
    pub machines: bool,
    /// The listener's default action forwards; there is no rule.
    pub by_default: bool,
    /// Users must sign in first: such an action stands before the forward.
    pub sign_in: Option<SignIn>,
    /// Clients keep to their group for so long, seconds.
    pub sticky_seconds: Option<i32>,
}

/// With whom users sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// A provider of OpenID Connect, with a client secret.
    Oidc,
    /// Amazon Cognito.
    Cognito,
}

impl Alb {
    /// Makes one with empty Lambda groups, or with machines.
    pub async fn create(local: &LocalAws, name: &str, made: Made) -> Self {
        let client = Client::new(&local.config());
        let balancer = client
            .create_load_balancer()
            .name(name)
            .subnets("subnet-1")
            .subnets("subnet-2")
            .send()
            .await
            .expect("a load balancer can be made")
            .load_balancers
            .and_then(|all| all.into_iter().next())
            .expect("it is told");
        let arn = balancer.load_balancer_arn.expect("it has an ARN");
        let blue = group(&client, &format!("{name}-blue"), made.machines).await;
        let green = group(&client, &format!("{name}-green"), made.machines).await;
        let mut actions = vec![forward(&blue, 100, &green, 0, made.sticky_seconds)];
        if let Some(with) = made.sign_in {
            actions.insert(0, signed_in(with));
        }
        let (protocol, port) = if made.sign_in.is_some() {
            (ProtocolEnum::Https, 443)
        } else {
            (ProtocolEnum::Http, 80)
        };
        let nothing = Action::builder()
            .r#type(ActionTypeEnum::FixedResponse)
            .fixed_response_config(
                FixedResponseActionConfig::builder()
                    .status_code("404")
                    .build(),
            )
            .build();
        let certificate = Certificate::builder()
            .certificate_arn("arn:aws:acm:us-east-1:000000000000:certificate/chat")
            .build();
        let listener = client
            .create_listener()
            .load_balancer_arn(&arn)
            .protocol(protocol)
            .port(port)
            .set_certificates(made.sign_in.map(|_| vec![certificate]))
            .set_default_actions(Some(if made.by_default {
                actions.clone()
            } else {
                vec![nothing]
            }))
            .send()
            .await
            .expect("a listener can be made")
            .listeners
            .and_then(|all| all.into_iter().next()?.listener_arn)
            .expect("it is told");
        let rule = if made.by_default {
            None
        } else {
            let condition = RuleCondition::builder()
                .field("path-pattern")
                .values(format!("{PATH}*"))
                .build();
            client
                .create_rule()
                .listener_arn(&listener)
                .priority(1)
                .conditions(condition)
                .set_actions(Some(actions))
                .send()
                .await
                .expect("a rule can be made")
                .rules
                .and_then(|all| all.into_iter().next()?.rule_arn)
        };
        let dimension = arn
            .split("loadbalancer/")
            .nth(1)
            .expect("an ARN of a load balancer")
            .to_owned();
        Self {
            listener,
            rule,
            blue,
            green,
            host: balancer.dns_name.unwrap_or_default(),
            dimension,
            client,
            control: local.control(),
        }
    }

    /// What the rule or the listener does, as AWS describes it.
    pub async fn actions(&self) -> Vec<Action> {
        if let Some(rule) = &self.rule {
            let told = self.client.describe_rules().rule_arns(rule).send().await;
            let rules = told.expect("the rule is there").rules;
            rules.and_then(|all| all.into_iter().next()?.actions)
        } else {
            let told = self.client.describe_listeners();
            let told = told.listener_arns(&self.listener).send().await;
            let listeners = told.expect("the listener is there").listeners;
            listeners.and_then(|all| all.into_iter().next()?.default_actions)
        }
        .expect("it does something")
    }

    /// The weights by target group.
    pub async fn weights(&self) -> BTreeMap<String, i32> {
        weights(self.actions().await)
    }

    /// Green's part of the weight, 0.0 to 1.0.
    pub async fn share(&self) -> f64 {
        let weights = self.weights().await;
        let of = |arn: &str| f64::from(weights.get(arn).copied().unwrap_or_default());
        of(&self.green) / (of(&self.blue) + of(&self.green))
    }

    /// Gives the groups weights, as somebody outside Crossfade does.
    pub async fn move_weights(&self, blue: i32, green: i32) {
        let mut actions = self.actions().await;
        for action in &mut actions {
            if let Some(config) = &mut action.forward_config {
                let sticky = config.target_group_stickiness_config.take();
                let groups = [(&self.blue, blue), (&self.green, green)];
                *config = ForwardActionConfig::builder()
                    .set_target_groups(Some(groups.map(|(arn, weight)| tuple(arn, weight)).into()))
                    .set_target_group_stickiness_config(sticky)
                    .build();
            }
            if let Some(oidc) = &mut action.authenticate_oidc_config {
                oidc.use_existing_client_secret = Some(true);
            }
        }
        if let Some(rule) = &self.rule {
            let call = self.client.modify_rule().rule_arn(rule);
            let done = call.set_actions(Some(actions)).send().await;
            done.expect("the rule can be changed");
        } else {
            let call = self.client.modify_listener().listener_arn(&self.listener);
            let done = call.set_default_actions(Some(actions)).send().await;
            done.expect("the listener can be changed");
        }
    }

    /// Takes the load balancer and its groups away.
    ///
    /// # Panics
    /// When something else needs them.
    pub async fn delete(&self) {
        let listener = self.client.describe_listeners();
        let listener = listener.listener_arns(&self.listener).send().await;
        let listener = listener.expect("the listener is there").listeners;
        let balancer = listener
            .and_then(|all| all.into_iter().next()?.load_balancer_arn)
            .expect("it is told");
        let rules = self.client.describe_rules().listener_arn(&self.listener);
        let rules = rules.send().await.expect("the listener is there").rules;
        for rule in rules.unwrap_or_default() {
            if rule.is_default != Some(true) {
                let gone = self.client.delete_rule().set_rule_arn(rule.rule_arn);
                gone.send().await.expect("the rule can be deleted");
            }
        }
        let gone = self.client.delete_listener().listener_arn(&self.listener);
        gone.send().await.expect("the listener can be deleted");
        let gone = self.client.delete_load_balancer();
        let gone = gone.load_balancer_arn(balancer).send().await;
        gone.expect("the load balancer can be deleted");
        for group in [&self.blue, &self.green] {
            let gone = self.client.delete_target_group().target_group_arn(group);
            gone.send().await.expect("the group can be deleted");
        }
    }

    /// Has a group send its requests to a version or an alias, and to nothing else.
    pub async fn send_to(&self, group: &str, target: &Target, qualifier: &str) {
        for before in self.targets(group).await {
            let before = TargetDescription::builder().id(before).build();
            let call = self.client.deregister_targets().target_group_arn(group);
            let done = call.targets(before).send().await;
            done.expect("a target can be deregistered");
        }
        let name = group.rsplit('/').nth(1).unwrap_or_default();
        let _ = target
            .lambda()
            .add_permission()
            .function_name(&target.name)
            .qualifier(qualifier)
            .statement_id(format!("alb-{name}"))
            .principal(PRINCIPAL)
            .action("lambda:InvokeFunction")
            .source_arn(group)
            .send()
            .await;
        let call = self.client.register_targets().target_group_arn(group);
        let id = TargetDescription::builder()
            .id(target.arn(qualifier))
            .build();
        let done = call.targets(id).send().await;
        done.expect("a function can be registered");
    }

    /// The ids of what a group sends its requests to.
    pub async fn targets(&self, group: &str) -> Vec<String> {
        let call = self.client.describe_target_health().target_group_arn(group);
        let told = call.send().await.expect("the group is there");
        let told = told.target_health_descriptions.unwrap_or_default();
        told.into_iter()
            .filter_map(|described| described.target?.id)
            .collect()
    }

    /// How a group's machines answer from now on.
    pub async fn behave(&self, group: &str, error_rate_percent: f64, latency_ms: f64) {
        let behaviour = json!({
            "targetGroupArn": group,
            "errorRatePercent": error_rate_percent,
            "latencyMs": latency_ms,
        });
        self.control.post("targets/behaviour", &behaviour).await;
    }

    /// What the health checks find of a group's machines from now on: `healthy`, `unhealthy` or
    /// `initial`.
    pub async fn health(&self, group: &str, state: &str) {
        let health = json!({"targetGroupArn": group, "state": state});
        self.control.post("targets/health", &health).await;
    }

    /// One request; `version` is the function's, or the target group's name.
    pub async fn request(&self) -> Met {
        met(&self.ask().await)
    }

    /// One request, and all that there is to know of it; see `tests/local/README.md`.
    pub async fn ask(&self) -> Value {
        ask(&self.control, &self.listener).await
    }

    /// Users, who send so many requests a second.
    #[must_use]
    pub fn users(&self, per_second: f64) -> Traffic {
        let (control, listener) = (self.control.clone(), self.listener.clone());
        Traffic::through(per_second, move || {
            let (control, listener) = (control.clone(), listener.clone());
            async move { met(&ask(&control, &listener).await) }
        })
    }

    /// A client that a group served before the release. Its cookie keeps it there whatever the weights
    /// become, where the rule has stickiness; each answer renews the cookie of a client that is active,
    /// so this one does not run out.
    ///
    /// # Panics
    /// When the local AWS makes no cookie.
    pub async fn sticky_client(&self, group: &str, per_second: f64) -> Traffic {
        const A_WEEK: u32 = 604_800;
        let earlier = json!({"targetGroupArn": group, "seconds": A_WEEK});
        let cookies = self.control.post("alb/cookie", &earlier).await;
        let (control, listener) = (self.control.clone(), self.listener.clone());
        let request = json!({
            "listenerArn": listener, "path": format!("{PATH}/"), "cookies": cookies,
        });
        Traffic::through(per_second, move || {
            let (control, request) = (control.clone(), request.clone());
            async move { met(&control.post("alb/request", &request).await) }
        })
    }

    /// Makes another rule that forwards to the same groups by the same weights, for requests to another
    /// path. It keeps no client with its group. Returns its ARN.
    ///
    /// # Panics
    /// When the load balancer takes no such rule.
    pub async fn second_rule(&self, path: &str) -> String {
        let mut actions = self.actions().await;
        for config in actions
            .iter_mut()
            .filter_map(|one| one.forward_config.as_mut())
        {
            config.target_group_stickiness_config = None;
        }
        let condition = RuleCondition::builder()
            .field("path-pattern")
            .values(format!("{path}*"))
            .build();
        let call = self.client.create_rule().listener_arn(&self.listener);
        let made = call
            .priority(2)
            .conditions(condition)
            .set_actions(Some(actions))
            .send()
            .await;
        let made = made.expect("a second rule can be made").rules;
        made.and_then(|all| all.into_iter().next()?.rule_arn)
            .expect("it is told")
    }

    /// Users of another path, who send so many requests a second.
    #[must_use]
    pub fn users_at(&self, path: &str, per_second: f64) -> Traffic {
        let control = self.control.clone();
        let request = json!({"listenerArn": self.listener, "path": format!("{path}/")});
        Traffic::through(per_second, move || {
            let (control, request) = (control.clone(), request.clone());
            async move { met(&control.post("alb/request", &request).await) }
        })
    }

    /// The weights of any rule of the load balancer, by target group.
    pub async fn weights_of(&self, rule: &str) -> BTreeMap<String, i32> {
        let told = self.client.describe_rules().rule_arns(rule).send().await;
        let rules = told.expect("the rule is there").rules;
        let actions = rules.and_then(|all| all.into_iter().next()?.actions);
        weights(actions.unwrap_or_default())
    }

    /// ELBv2's client, for what this does not do.
    #[must_use]
    pub fn elb(&self) -> &Client {
        &self.client
    }
}

/// The weights of forward actions, by target group.
fn weights(actions: Vec<Action>) -> BTreeMap<String, i32> {
    actions
        .into_iter()
        .filter_map(|action| action.forward_config)
        .flat_map(|forward| forward.target_groups.unwrap_or_default())
        .map(|group| {
            (
                group.target_group_arn.unwrap_or_default(),
                group.weight.unwrap_or_default(),
            )
        })
        .collect()
}

async fn ask(control: &Control, listener: &str) -> Value {
    let request = json!({"listenerArn": listener, "path": format!("{PATH}/")});
    control.post("alb/request", &request).await
}

/// What a request met, as `alb/request` tells it.
pub(crate) fn met(served: &Value) -> Met {
    let group = served["targetGroupArn"].as_str();
    let group = group.and_then(|arn| arn.rsplit('/').nth(1));
    let machine = served["target"].is_string() && served["executedVersion"].is_null();
    Met {
        version: served["executedVersion"]
            .as_str()
            .or(group.filter(|_| machine && served["reason"].is_null()))
            .map(str::to_owned),
        failed: served["status"].as_u64().is_none_or(|status| status >= 500),
    }
}

async fn group(client: &Client, name: &str, machines: bool) -> String {
    let made = client.create_target_group().name(name);
    let made = if machines {
        made.target_type(TargetTypeEnum::Ip)
            .protocol(ProtocolEnum::Http)
            .port(80)
            .vpc_id("vpc-1")
    } else {
        made.target_type(TargetTypeEnum::Lambda)
    };
    let arn = made
        .send()
        .await
        .expect("a target group can be made")
        .target_groups
        .and_then(|all| all.into_iter().next()?.target_group_arn)
        .expect("it is told");
    if machines {
        let machine = TargetDescription::builder().id("10.0.0.1").build();
        let call = client.register_targets().target_group_arn(&arn);
        let done = call.targets(machine).send().await;
        done.expect("a machine can be registered");
    }
    arn
}

fn forward(blue: &str, to_blue: i32, green: &str, to_green: i32, sticky: Option<i32>) -> Action {
    let sticky = sticky.map(|seconds| {
        TargetGroupStickinessConfig::builder()
            .enabled(true)
            .duration_seconds(seconds)
            .build()
    });
    Action::builder()
        .r#type(ActionTypeEnum::Forward)
        .order(50)
        .forward_config(
            ForwardActionConfig::builder()
                .target_groups(tuple(blue, to_blue))
                .target_groups(tuple(green, to_green))
                .set_target_group_stickiness_config(sticky)
                .build(),
        )
        .build()
}

fn tuple(arn: &str, weight: i32) -> TargetGroupTuple {
    TargetGroupTuple::builder()
        .target_group_arn(arn)
        .weight(weight)
        .build()
}

fn signed_in(with: SignIn) -> Action {
    if with == SignIn::Cognito {
        let config = AuthenticateCognitoActionConfig::builder()
            .user_pool_arn("arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_users")
            .user_pool_client_id("chat")
            .user_pool_domain("chat")
            .build();
        return Action::builder()
            .r#type(ActionTypeEnum::AuthenticateCognito)
            .order(10)
            .authenticate_cognito_config(config)
            .build();
    }
    let config = aws_sdk_elasticloadbalancingv2::types::AuthenticateOidcActionConfig::builder()
        .issuer("https://idp.test")
        .authorization_endpoint("https://idp.test/authorize")
        .token_endpoint("https://idp.test/token")
        .user_info_endpoint("https://idp.test/userinfo")
        .client_id("chat")
        .client_secret("kept to itself")
        .build();
    Action::builder()
        .r#type(ActionTypeEnum::AuthenticateOidc)
        .order(10)
        .authenticate_oidc_config(config)
        .build()
}
