output "approval_url" {
  description = "The page behind the links that people get. Without such a link it shows nothing."
  value       = lookup(aws_cloudformation_stack.crossfade.outputs, "ApprovalUrl", null)
}

output "state_machine_arn" {
  description = "Start one execution of this for each release."
  value       = aws_cloudformation_stack.crossfade.outputs["DeploymentStateMachineArn"]
}

output "retention_state_machine_arn" {
  description = "Each promoted release has an execution of this, which keeps blue ready and cleans up after that."
  value       = aws_cloudformation_stack.crossfade.outputs["RetentionStateMachineArn"]
}

output "ledger_table_name" {
  description = "Locks, deployments in flight, and which alarm watches which."
  value       = aws_cloudformation_stack.crossfade.outputs["LedgerTableName"]
}

output "notification_topic_arn" {
  description = "Subscribe to this to be told how releases go and end, and to be asked."
  value       = aws_cloudformation_stack.crossfade.outputs["NotificationTopicArn"]
}

output "chat_topic_arn" {
  description = "Give this to Amazon Q Developer in chat applications, for a channel."
  value       = aws_cloudformation_stack.crossfade.outputs["ChatTopicArn"]
}

output "dashboard_url" {
  description = "What releases do, and how they end."
  value       = aws_cloudformation_stack.crossfade.outputs["DashboardUrl"]
}

output "crossfade_version" {
  description = "The version of Crossfade that the stack was deployed from; `crossfade doctor` compares it with its own."
  value       = aws_cloudformation_stack.crossfade.outputs["CrossfadeVersion"]
}
