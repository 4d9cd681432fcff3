# Releases what `apply` has put on $LATEST: starts a release, waits for its end, and fails with it. A release that failed
# is started again by the next `apply`, and one that an interrupted `apply` left running is waited for.
#
# Place it after all that the release needs, with depends_on: the function, the alias, the alarms.

locals {
  # The same request with the same triggers is one release, whenever and wherever it is applied.
  digest = sha256(jsonencode({ request = jsondecode(var.request), triggers = var.triggers }))
}

resource "terraform_data" "release" {
  triggers_replace = local.digest

  provisioner "local-exec" {
    interpreter = ["bash"]
    command     = "${path.module}/release.sh"
    environment = merge(var.environment, {
      CROSSFADE_STATE_MACHINE = var.state_machine_arn
      CROSSFADE_REQUEST       = var.request
      CROSSFADE_NAME          = "tf-${substr(local.digest, 0, 16)}"
      CROSSFADE_WAIT_SECONDS  = ceil(var.wait_minutes * 60)
      CROSSFADE_POLL_SECONDS  = var.poll_seconds
    })
  }
}
