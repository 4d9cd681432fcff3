locals {
  # CloudFormation takes text for each parameter.
  parameters = {
    TargetFunctionPrefix  = var.target_function_prefix
    ArtifactBucket        = var.artifact_bucket
    ImageRepositoryPrefix = var.image_repository_prefix
    ImageRepositoryArns   = var.image_repository_arns == null ? null : join(",", var.image_repository_arns)
    KmsKeyArns            = var.kms_key_arns == null ? null : join(",", var.kms_key_arns)
    HostedZoneArns        = var.hosted_zone_arns == null ? null : join(",", var.hosted_zone_arns)
    LoadBalancerPrefix    = var.load_balancer_prefix
    HealthCheckHosts      = var.health_check_hosts
    ApprovalPage          = var.approval_page
    LiveErrors            = var.live_errors
    ReleaseWindows        = var.release_windows
    ReservedConcurrency   = var.reserved_concurrency
    Architecture          = var.architecture
    LogRetentionDays      = var.log_retention_days
  }
}

resource "aws_cloudformation_stack" "crossfade" {
  name         = var.name
  template_url = var.template_url
  # The template makes roles, and SAM's transform is a macro.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  parameters   = { for name, value in local.parameters : name => tostring(value) if value != null }
  tags         = var.tags
}
