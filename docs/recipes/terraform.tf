# A function and an alias whose version and weights Crossfade moves. `terraform apply` puts new code on
# $LATEST, releases it with release.json, and fails when the release does. The next apply tries again.

variable "state_machine_arn" {
  description = "Crossfade's output DeploymentStateMachineArn."
  type        = string
}

variable "role_arn" {
  description = "The function's role."
  type        = string
}

resource "aws_lambda_function" "assistant" {
  function_name    = "chat-assistant"
  role             = var.role_arn
  filename         = "${path.module}/function.zip"
  source_code_hash = filebase64sha256("${path.module}/function.zip")
  handler          = "app.handler"
  runtime          = "python3.13"
  memory_size      = 256
  publish          = false # Crossfade publishes.
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.assistant.function_name
  function_version = "$LATEST" # Until the first release, which pins it to a version.

  lifecycle {
    ignore_changes = [function_version, routing_config]
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "chat-errors"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = "chat-assistant", Resource = "chat-assistant:live" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 5
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
}

resource "terraform_data" "release" {
  # What makes a release: name each argument of the function that you change.
  triggers_replace = [
    aws_lambda_function.assistant.source_code_hash,
    aws_lambda_function.assistant.memory_size,
  ]
  depends_on = [aws_lambda_alias.live, aws_cloudwatch_metric_alarm.errors]

  provisioner "local-exec" {
    command = "${path.module}/release.sh ${var.state_machine_arn} ${path.module}/release.json"
  }
}
