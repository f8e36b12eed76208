package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	folder     = "../../../../emulator/evidence"
	recordings = "../../../../../shared/gcp/recorded.jsonl"
)

// The files in the repository are what this command makes.
func TestEvidenceIsFresh(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(recordings); os.IsNotExist(err) {
		t.Skipf("the recorded exchanges are not at %s", recordings)
	}
	files, err := convert(recordings)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what go run ./internal/tools/gen/evidence -recordings %s makes of them (%v)", name, recordings, err)
		}
	}
	there, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(there) != len(files) {
		t.Errorf("%d files, the recordings make %d (%v)", len(there), len(files), err)
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	lines := `{"n":2,"grade":"A","op":"get","method":"GET","url":"(from file name) v1-projects-others-name-serviceAccounts-their-bot@others-name.iam.gserviceaccount.com","status":404,"request":null,"response":{"error":{"code":404,"message":"Account deleted: 1","status":"NOT_FOUND"}},"source":"some/repository@1:file"}
{"n":1,"grade":"B","op":"disable","method":"POST","url":"https://iam.googleapis.com/v1/projects/P/serviceAccounts/SA:disable","status":200,"request":{},"response":{"displayName":"a text of theirs"},"source":"a document"}
{"n":3,"grade":"D","op":"a mock's","method":"GET","url":"https://iam.googleapis.com/v1/x","status":200,"request":null,"response":{},"source":"mock"}
{"n":4,"grade":"C","op":"exchange","method":"POST","url":"https://sts.googleapis.com/v1/token","status":200,"request":"grant_type=g&subject_token=secret&options=<percent-encoded JSON accessBoundary>","response":{"access_token":"secret"},"source":"s"}
`
	path := filepath.Join(t.TempDir(), "recordings")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := convert(path)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	iam, sts := string(files["iam.json"]), string(files["sts.json"])
	for _, want := range []string{
		`"path": "/v1/projects/{project}/serviceAccounts/{account}@{project}.iam.gserviceaccount.com"`,
		`"path": "/v1/projects/{project}/serviceAccounts/{account}@{project}.iam.gserviceaccount.com:disable"`,
		"the account was deleted", `"displayName": "<text>"`, `"source": "a document"`,
	} {
		if !strings.Contains(iam, want) {
			t.Errorf("%s lacks %s", iam, want)
		}
	}
	if strings.Index(iam, `"id": "1"`) > strings.Index(iam, `"id": "2"`) {
		t.Error("the order is not that of the numbers")
	}
	for _, never := range []string{"others-name", "their-bot", "theirs", "Account deleted", "mock", "secret"} {
		if strings.Contains(iam+sts, never) {
			t.Errorf("%q is left in %s%s", never, iam, sts)
		}
	}
	if err := run("", t.TempDir()); err == nil || !strings.Contains(err.Error(), "-recordings") {
		t.Errorf("without recordings: %v", err)
	}
}
