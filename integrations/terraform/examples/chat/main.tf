# A function and an alias whose version and weights Crossfade moves. `terraform apply` puts new code on $LATEST, releases
# it, and fails when the release does. The next apply tries again.

variable "template_url" {
  description = "Crossfade's packaged template in S3."
  type        = string
}

variable "role_arn" {
  description = "The function's role."
  type        = string
}

module "crossfade" {
  source = "../../stack" # git::https://github.com/example/crossfade//integrations/terraform/stack?ref=v0.1.0

  template_url           = var.template_url
  target_function_prefix = "chat-"
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
    # Without routing_config, an apply during a release would remove the weights.
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

module "release" {
  source = "../../release" # git::https://github.com/example/crossfade//integrations/terraform/release?ref=v0.1.0

  state_machine_arn = module.crossfade.state_machine_arn
  request = jsonencode({
    application = "chat"
    functions   = [{ functionName = aws_lambda_function.assistant.function_name, alias = aws_lambda_alias.live.name }]
    strategy    = "Canary10Percent5Minutes"
    analysis    = { alarms = [aws_cloudwatch_metric_alarm.errors.alarm_name], onInconclusive = "rollBack" }
  })
  # Name each argument of the function that you change.
  triggers = {
    code   = aws_lambda_function.assistant.source_code_hash
    memory = aws_lambda_function.assistant.memory_size
  }
  depends_on = [aws_lambda_function.assistant, aws_lambda_alias.live]
}
