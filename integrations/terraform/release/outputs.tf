output "id" {
  description = "The release of this request and these triggers. Depend on it for what has to come after the release."
  value       = terraform_data.release.id
}
