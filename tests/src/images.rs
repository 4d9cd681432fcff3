//! Container images on the local AWS: their names alone, for it runs none.

use serde_json::json;

use crate::{LocalAws, yaml::python};

/// Pushes an image with a tag, into a repository that is made for it where there is none.
pub fn push(local: &LocalAws, repository: &str, tag: &str) {
    let asked = json!({"endpoint": local.endpoint(), "repository": repository, "tag": tag});
    let pushed = python(
        "import json, sys, boto3\n\
         asked = json.loads(sys.argv[1])\n\
         ecr = boto3.client('ecr', endpoint_url=asked['endpoint'], region_name='us-east-1',\n\
         \x20   aws_access_key_id='test', aws_secret_access_key='test')\n\
         try:\n\
         \x20   ecr.create_repository(repositoryName=asked['repository'])\n\
         except ecr.exceptions.RepositoryAlreadyExistsException:\n\
         \x20   pass\n\
         manifest = json.dumps({'schemaVersion': 2, 'tag': asked['tag']})\n\
         ecr.put_image(repositoryName=asked['repository'], imageManifest=manifest, imageTag=asked['tag'])\n\
         print('null')",
        &[asked.to_string()],
    );
    assert!(pushed.is_null(), "{pushed}");
}
