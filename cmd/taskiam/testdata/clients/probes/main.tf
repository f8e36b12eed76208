terraform {
  backend "gcs" {}
}

resource "terraform_data" "motto" {
  input = "only what is declared"
}

output "motto" {
  value = terraform_data.motto.output
}
