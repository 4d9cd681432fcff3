variable "state_machine_arn" {
  description = "Crossfade's output DeploymentStateMachineArn; the module stack has it as state_machine_arn."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:states:[^:]+:[0-9]{12}:stateMachine:[^:]+$", var.state_machine_arn))
    error_message = "state_machine_arn must be the ARN of a state machine, without a version."
  }
}

variable "request" {
  description = "The request, as JSON text: jsonencode of an object, or a file. Without `code` it releases what is on $LATEST."
  type        = string

  validation {
    condition     = can(jsondecode(var.request).application) && can(jsondecode(var.request).strategy)
    error_message = "request must be the JSON of a release; it has at least an application and a strategy."
  }
}

variable "triggers" {
  description = "What makes a release: the arguments of the function that you change, such as its source_code_hash. A new value of one of them starts a release."
  type        = map(string)

  validation {
    condition     = length(var.triggers) > 0
    error_message = "triggers must have at least one value; without any, only a new request would be released."
  }
}

variable "wait_minutes" {
  description = "How long `apply` waits for the end. After that it fails, and the release continues."
  type        = number
  default     = 120

  validation {
    condition     = var.wait_minutes > 0
    error_message = "wait_minutes must be more than 0."
  }
}

variable "poll_seconds" {
  description = "The time between two looks."
  type        = number
  default     = 10

  validation {
    condition     = var.poll_seconds >= 1
    error_message = "poll_seconds must be 1 or more."
  }
}

variable "environment" {
  description = "Environment variables of the AWS CLI, such as AWS_PROFILE. The provider's own configuration does not reach it."
  type        = map(string)
  default     = {}
}
