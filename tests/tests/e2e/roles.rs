//! What the stack's roles keep its functions from: any function but those it is for.

use aws_sdk_lambda::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
};
use crossfade_tests::{Behaviour, Target, iam, stack::FUNCTIONS};
use serde_json::json;

use crate::{
    case::{ALIAS, Case, Test, test},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("roles_touch_no_function_outside_the_prefix", outside),
        test("roles_touch_none_of_the_stacks_own", the_stacks_own),
        test("release_outside_the_prefix_is_refused", release),
    ]
}

/// Lambda's client with one function's role.
async fn acting_as(case: &Case, function: &str) -> Client {
    let local = &case.suite().local;
    let key = iam::credentials(local, &case.world.stack.function(function)).await;
    let key = Credentials::new(
        key.access_key_id,
        key.secret_access_key,
        Some(key.session_token),
        None,
        "tests",
    );
    let config = local.config().into_builder();
    let config = config.credentials_provider(SharedCredentialsProvider::new(key));
    Client::new(&config.build())
}

/// Why AWS did not do it; none when it did.
fn refusal<T, E: ProvideErrorMetadata>(done: Result<T, SdkError<E>>) -> Option<String> {
    done.err()
        .map(|error| error.code().unwrap_or_default().to_owned())
}

/// Everything that could be done to a function, by name: why each was refused.
#[expect(
    clippy::disallowed_methods,
    reason = "that it is refused is what is tested"
)]
async fn try_all(
    lambda: &Client,
    name: &str,
    qualified: &str,
) -> Vec<(&'static str, Option<String>)> {
    macro_rules! tried {
        ($($call:ident $(.$field:ident($value:expr))*;)+) => {
            vec![$((stringify!($call), refusal(lambda.$call()$(.$field($value))*.send().await)),)+]
        };
    }
    tried! {
        invoke.function_name(name);
        invoke.function_name(qualified);
        get_function.function_name(name);
        get_function_configuration.function_name(name);
        get_policy.function_name(name);
        get_alias.function_name(name).name(ALIAS);
        list_aliases.function_name(name);
        list_versions_by_function.function_name(name);
        list_function_url_configs.function_name(name);
        update_alias.function_name(name).name(ALIAS).function_version("2");
        create_alias.function_name(name).name("theirs").function_version("1");
        delete_alias.function_name(name).name(ALIAS);
        publish_version.function_name(name);
        update_function_code.function_name(name).zip_file(Blob::new(*b"-"));
        update_function_configuration.function_name(name).timeout(1);
        put_function_concurrency.function_name(name).reserved_concurrent_executions(0);
        add_permission.function_name(name).statement_id("theirs").action("lambda:InvokeFunction")
            .principal("elasticloadbalancing.amazonaws.com");
        remove_permission.function_name(name).statement_id("mine");
        delete_function.function_name(name).qualifier("2");
        delete_function.function_name(name);
    }
}

async fn outside(case: Case) {
    let inside = case.blue().await;
    assert_eq!(inside.publish().await, "2");
    // The prefix is not the beginning of the first name, not at the beginning of the second, and in
    // another place of the third.
    let names = [
        format!("other-{}", case.name),
        format!("xit-{}", case.name),
        format!("it_{}", case.name),
    ];
    let local = &case.suite().local;
    for name in &names {
        let target = Target::create(local, name, Behaviour::healthy("1")).await;
        assert_eq!(target.publish().await, "1");
        target.update(Behaviour::healthy("2")).await;
        assert_eq!(target.publish().await, "2");
        target.alias(ALIAS, "1").await;
        let before = target.look(ALIAS).await;
        let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
        for function in FUNCTIONS {
            let lambda = acting_as(&case, function).await;
            for tried in [
                try_all(&lambda, name, &format!("{name}:{ALIAS}")).await,
                try_all(&lambda, &arn, &format!("{arn}:1")).await,
            ] {
                for (what, why) in tried {
                    assert_eq!(
                        why.as_deref(),
                        Some("AccessDeniedException"),
                        "{function} did {what} to {name}"
                    );
                }
            }
        }
        assert_eq!(target.look(ALIAS).await, before, "nobody wrote to {name}");
        assert_eq!(target.versions().await, ["1", "2"]);
    }
    // What is inside is not refused: it is the name that counts.
    let name = &inside.name;
    let deploy_green = acting_as(&case, "deploy-green").await;
    let moved = deploy_green.update_alias().function_name(name).name(ALIAS);
    assert_eq!(refusal(moved.function_version("2").send().await), None);
    let rollback = acting_as(&case, "rollback").await;
    let back = rollback.update_alias().function_name(name).name(ALIAS);
    assert_eq!(refusal(back.function_version("1").send().await), None);
    let validate = acting_as(&case, "validate").await;
    let called = validate.invoke().function_name(name).qualifier("2");
    assert_eq!(refusal(called.send().await), None);
}

async fn the_stacks_own(case: Case) {
    let stack = &case.world.stack;
    for function in FUNCTIONS {
        let lambda = acting_as(&case, function).await;
        let name = stack.function("rollback");
        for (what, why) in try_all(&lambda, &name, &name).await {
            assert_eq!(
                why.as_deref(),
                Some("AccessDeniedException"),
                "{function} did {what} to {name}"
            );
        }
    }
}

async fn release(case: Case) {
    let target = case.blue().await;
    let name = format!("other-{}", case.name);
    let local = &case.suite().local;
    let theirs = Target::create(local, &name, Behaviour::healthy("1")).await;
    assert_eq!(theirs.publish().await, "1");
    theirs.alias(ALIAS, "1").await;
    theirs.update(Behaviour::healthy("2")).await;
    let before = (theirs.look(ALIAS).await, theirs.versions().await);

    let mut request = case.request(json!({}));
    request["functions"] = json!([
        {"functionName": target.name, "alias": ALIAS},
        {"functionName": name, "alias": ALIAS},
    ]);
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.error, "InvalidRequest", "{ended:?}");
    let reason = ended.cause["reason"].as_str().unwrap_or_default();
    let told = format!("functions[1].functionName: \"{name}\" does not begin with \"it-\"");
    assert!(reason.starts_with(&told), "{reason}");
    let locks = case.world.locks_of(&execution.arn).await;
    assert_eq!(locks, Vec::<String>::new());

    // A stage before it is not wired either: AWS refuses to look at it.
    let (_, ended) = case
        .release(&json!({
            "action": "wire", "application": case.application(),
            "frontDoor": {
                "type": "apiGateway", "apiId": "a1b2c3d4e5", "stage": "$default",
                "alias": ALIAS, "functionName": name,
            },
        }))
        .await;
    assert_eq!(ended.status, "FAILED", "{ended:?}");
    assert_eq!((theirs.look(ALIAS).await, theirs.versions().await), before);

    // The same function's own release is not in the way of anything.
    let (_, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "2").await;
}
