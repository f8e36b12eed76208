package manifest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/internal/resource"
)

// Placeholder is the project of [Starter] where none is known.
const Placeholder = "my-project"

// Starter returns a manifest with comments to start from, which [Parse] accepts as it is. A
// name that is not valid for a task is changed into one; a project that is not valid is
// replaced.
func Starter(name, project string) []byte {
	if resource.CheckProject(project) != nil || strings.Trim(project, "0123456789") == "" {
		project = Placeholder
	}
	text := fmt.Appendf(nil, schemaLine+starter, strconv.Quote(taskName(name)), strconv.Quote(project), project)
	if formatted, err := Format("the manifest", text); err == nil { // names are of different lengths
		return formatted
	}
	return text
}

const starter = `# What one task may do in Google Cloud, and for how long. "taskiam plan FILE" shows
# what comes of it and writes nothing.
version = 1

[task]
name    = %[1]s
project = %[2]s   # hosts the task's service account
ttl     = "1h"    # when the access ends, if "taskiam down" does not end it before
# reason = "Build the nightly report"   # shown in Google's audit logs

# One table for each role on one resource. Grant what the task needs and nothing else.
# This one only lets it see the project; put what the task needs in its place.
[[grant]]
role     = "roles/browser"
resource = "projects/%[3]s"

# [[grant]]
# role     = "roles/storage.objectViewer"
# resource = "gs://my-bucket/reports/"    # only objects whose names begin with reports/

# [[grant]]
# role      = "roles/secretmanager.secretAccessor"
# resource  = "projects/%[3]s/secrets/api-key"
# condition = 'request.time.getHours("Europe/Berlin") < 20'

# [[grant]]
# role      = "roles/pubsub.publisher"
# resource  = "projects/%[3]s/topics/reports"
# unbounded = "accept"   # topics take no conditions: this ends with "taskiam down" only

# Without it, "taskiam run" serves access tokens from memory and "taskiam up" makes a key.
# [credentials]
# deliver = ["key", "token"]   # the first one that is allowed here; or "metadata"
`
