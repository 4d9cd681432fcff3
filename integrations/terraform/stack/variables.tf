# Crossfade's stack, from a template that was packaged: its functions' code is in S3. A variable that is null leaves the
# template's default.

variable "name" {
  description = "The stack's name, at most 50 characters. The names of its functions and state machines begin with it."
  type        = string
  default     = "crossfade"

  validation {
    condition     = can(regex("^[a-zA-Z][a-zA-Z0-9-]{0,49}$", var.name))
    error_message = "name must be 1 to 50 letters, digits and hyphens, and begin with a letter."
  }
}

variable "template_url" {
  description = "The URL of the packaged template in S3, in the stack's Region."
  type        = string
}

variable "tags" {
  description = "Tags of the stack and of what is in it."
  type        = map(string)
  default     = {}
}

# One variable for each of the template's parameters.

variable "target_function_prefix" {
  description = "Crossfade can release functions whose names begin so, and touches no other. Up to five, with commas between, such as chat-,orders-"
  type        = string
}

variable "artifact_bucket" {
  description = "The S3 buckets that releases take their code from, up to five, with commas between; empty when none does."
  type        = string
  default     = null
}

variable "image_repository_prefix" {
  description = "Releases take container images from this account's ECR repositories whose names begin so, up to five, with commas between; empty when none does."
  type        = string
  default     = null
}

variable "image_repository_arns" {
  description = "The ECR repositories, of other accounts too, that releases may take container images from besides, with commas between; * and ? as in IAM. Each repository's own policy has to let this account and Lambda in."
  type        = list(string)
  default     = null
}

variable "kms_key_arns" {
  description = "Your own KMS keys that encrypt artifact buckets, or the zips and variables of released functions, with commas between; empty when none does. Each key's own policy has to let this account use it."
  type        = list(string)
  default     = null
}

variable "hosted_zone_arns" {
  description = "The Route 53 zones whose weighted records releases may move, with commas between them; empty when none does."
  type        = list(string)
  default     = null
}

variable "load_balancer_prefix" {
  description = "Releases may move listener rules and target groups whose load balancer's and group's names begin so; empty when none does."
  type        = string
  default     = null
}

variable "health_check_hosts" {
  description = "Health checks may ask URLs of these hosts, with commas between, and of no others; empty when of none."
  type        = string
  default     = null
}

variable "approval_page" {
  description = "Whether each release has a page by a link, where people also answer approvals and holds; \"no\" where public function URLs are not allowed."
  type        = string
  default     = null
}

variable "live_errors" {
  description = "Whether releases listen to the logs of the released functions, and roll back seconds after failures show there. During a release a subscription filter is then on each function's log group."
  type        = string
  default     = null
}

variable "release_windows" {
  description = "Releases begin in these windows only, such as Mon-Thu 09:00-16:00 Europe/Berlin; Fri 09:00-12:00 Europe/Berlin. Empty: at any time."
  type        = string
  default     = null
}

variable "reserved_concurrency" {
  description = "How many concurrent executions are reserved for each of the two functions that put traffic back; also the most that each may have. Lambda refuses it where less than 100 of the account's would stay unreserved. 0 reserves none."
  type        = number
  default     = null
}

variable "architecture" {
  description = "What Crossfade's own functions run on; it can release functions of either."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = null
}
