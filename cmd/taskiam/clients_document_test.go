package main

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	{"Node: @google-cloud/secret-manager 6.1.1, pubsub 5.2.0 by gRPC", "", "node.txtar: by gRPC, their default"},
	{"anything else by gRPC", "", ""},
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

// TestClientTableDocument: the table in docs/delivery.md has the clients that TestClientTable tries, and for each hole
// the reason that is known. Whether the rest works is tried there.
func TestClientTableDocument(t *testing.T) {
	t.Parallel()
	rows, cells := flawless()
	_, rest, _ := strings.Cut(fileOf(t, "docs/delivery.md"), tableBegin)
	got, _, found := strings.Cut(rest, tableEnd)
	if want := table(rows, cells); !found || got != want {
		t.Errorf("the table in docs/delivery.md (make clients WRITE=1):\n%s", cmp.Diff(want, got))
	}
}

// flawless returns all cells as they are if every client does what is expected of it.
func flawless() (rows []client, cells []*cell) {
	for _, row := range new(kit).clients() {
		row.missing = ""
		rows = append(rows, row)
		for _, c := range columns {
			cells = append(cells, &cell{client: row, column: c})
		}
	}
	return rows, cells
}

// TestTogether: what is written together can be read apart.
func TestTogether(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		by   map[string]string
		want string
	}{
		{map[string]string{inPlain: "works"}, "works"},
		{map[string]string{inPlain: "works", inIsolated: "works", inNoNet: "works"}, "works"},
		{map[string]string{inPlain: "takes none: fails closed", inIsolated: "works", inNoNet: "works"},
			"plain: takes none: fails closed; isolated, nonet: works"},
	} {
		got := together(tt.by)
		if got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		read := apart(got)
		for mode, text := range tt.by {
			if read[mode] != text {
				t.Errorf("%q: %s is %q, want %q", got, mode, read[mode], text)
			}
		}
	}
}

// TestKindOf: what a refusal is, never by a number that may be a port's or an account's.
func TestKindOf(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"denied IAM_PERMISSION_DENIED rpc error": "denied",
		"ERROR: (gcloud.storage.cat) HTTPError 403: a@b does not have storage.objects.get access to the Google Cloud Storage object.":               "denied",
		"Permission bigquery.tables.delete\ndenied on table acme-data:sales.orders":                                                                 "denied",
		"dial tcp 127.0.0.1:40301: connect: connection refused":                                                                                     "unreachable",
		"listening on 127.0.0.1:40143, ti-clients-1lh403401@acme":                                                                                   "failed",
		"HTTPError 401: Request had invalid authentication credentials.":                                                                            "unauthenticated",
		"There was a problem: ('invalid_grant: Invalid grant: account not found', 403)":                                                             "invalid_grant",
		"unauthenticated rpc error: " + failsClosed:                                                                                                 "closed",
		"compute: Received 403 `run 1lh has ended, and there are no more tokens`":                                                                   "over",
		"denied Could not refresh access token: A Forbidden error was returned while attempting to retrieve an access token for the Compute Engine": "over",
		"ERROR: (gcloud.auth.print-identity-token) No identity token can be obtained from the current credentials.":                                 "absent",
		"ERROR: (gcloud.auth.docker-helper) Remote end closed connection without response":                                                          "unreachable",
		"curl: (52) Empty reply from server":                                                                                                        "unreachable",
		"failed 2 UNKNOWN: Getting metadata from plugin failed: Could not refresh access token: socket hang up":                                     "unreachable",
		"failed java.io.IOException: Your default credentials were not found.":                                                                      "unreachable",
		"denied Could not read acme-reports: Forbidden":                                                                                             "denied",
	} {
		if got := kindOf(said); got != want {
			t.Errorf("%s: %q, want %q", said, got, want)
		}
	}
}

// TestIsCached: what gcloud made for itself before the end is told from a token that was made after it, or for others.
func TestIsCached(t *testing.T) {
	t.Parallel()
	ended := time.Unix(1_790_000_000, 0)
	for _, tt := range []struct {
		claims   string
		identity bool
		want     bool
	}{
		{`{"aud":"32555940559.apps.googleusercontent.com","iat":1789999990}`, true, true},
		{`{"aud":"32555940559.apps.googleusercontent.com","iat":1790000001}`, true, false},
		{`{"aud":"32555940559.apps.googleusercontent.com"}`, true, false},
		{`{"aud":"https://reports.example","iat":1789999990}`, true, false},
		{`{"aud":"32555940559.apps.googleusercontent.com","iat":1789999990}`, false, false},
		{`no claims`, true, false},
	} {
		c := &cell{client: client{identity: tt.identity}, box: &sandbox{ended: ended}}
		said := "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(tt.claims)) + ".c2ln"
		if got := c.isCached(said); got != tt.want {
			t.Errorf("%s, of identity tokens %t: %t", tt.claims, tt.identity, got)
		}
	}
}
