package main

import (
	"strings"
	"testing"
)

// tried says for each row of the table in docs/clients.md where its two columns are tried: a script, and what it has
// in it for that. A cell that does not say "works" needs no place.
var tried = []struct{ client, override, proxy string }{
	{"gcloud 528.0.0: ", "gcloud_accounts.txtar: --for gcloud", "gcloud_login.txtar: --for proxy"},
	{"the same with the key of a run", "gcloud_login.txtar: activate-service-account --key-file=again", "gcloud_login.txtar: activate-service-account --key-file=box"},
	{"bq 2.1.18: ls", "bq.txtar: =$URL bq head", "bq.txtar: see bq head"},
	{"bq query: ", "bq.txtar: =$URL bq query", "bq.txtar: exec bq query"},
	{"gsutil 5.34", "bq.txtar: see gsutil", ""},
	{"Terraform 1.11.4", "terraform.txtar: GOOGLE_STORAGE_CUSTOM_ENDPOINT=http", "terraform.txtar: --for proxy"},
	{"the same with a key", "", "terraform.txtar: key.json"},
	{"Go: google.golang.org/api", "libraries.txtar: golibraries http", "libraries.txtar: exec golibraries\n"},
	{"Python: google-auth", "libraries.txtar: client.py http://$TASKIAM_EMULATOR_HOST", "libraries.txtar: client.py https://storage"},
	{"Node: google-auth-library", "node.txtar: clients.mjs $TASKIAM_EMULATOR_HOST", "node.txtar: exec node clients.mjs\n"},
	{"Node: @google-cloud/storage", "node.txtar: @google-cloud/storage: from node", "node.txtar: -- proxy --\ngoogle-auth-library: Acme data\n@google-cloud/storage"},
	{"Node: @google-cloud/secret-manager", "node.txtar: @google-cloud/secret-manager: correct", ""},
	{"anything by gRPC", "", ""},
}

// TestClientsDocument: where the table of docs/clients.md says that a client works, a script of TestClients tries it.
// What docs/delivery.md says is compared by TestClientTable.
func TestClientsDocument(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(fileOf(t, "docs/clients.md"), "| client | by endpoint override |")
	var rows []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| ") {
			rows = append(rows, line)
		} else if len(rows) > 0 {
			break
		}
	}
	if len(rows) != len(tried) {
		t.Errorf("the table has %d clients, and %d are known", len(rows), len(tried))
	}
	for i, row := range rows[:min(len(rows), len(tried))] {
		cells := strings.Split(strings.TrimSpace(row), " | ")
		if !strings.HasPrefix(cells[0], "| "+tried[i].client) {
			t.Errorf("row %d is not %q: %s", i, tried[i].client, row)
			continue
		}
		for column, place := range []string{tried[i].override, tried[i].proxy} {
			script, has, some := strings.Cut(place, ": ")
			if works := strings.HasPrefix(cells[column+1], "works"); works && !some {
				t.Errorf("nothing says where this is tried: %s", row)
			} else if some && !strings.Contains(fileOf(t, "cmd/taskiam/testdata/clients/"+script), has) {
				t.Errorf("%s has no %q: %s", script, has, row)
			}
		}
	}
}
