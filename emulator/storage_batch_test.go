package emulator

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/taskiam/taskiam/emulator/internal/iam"
)

// batch sends calls in one request and returns what each of them is answered with: its Content-ID, its code, its body.
func (c cloud) batch(token, url string, parts []string, header ...string) []string {
	c.t.Helper()
	body := "--b\r\n" + strings.Join(parts, "\r\n--b\r\n") + "\r\n--b--\r\n"
	got := c.want(200, nil, token, "POST "+url, body, append(header, `Content-Type: multipart/mixed; boundary="b"`)...)
	kind, parameters, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		c.t.Fatalf("the answer is of type %q: %s", got.header.Get("Content-Type"), got.body)
	}
	var out []string
	for in := multipart.NewReader(bytes.NewReader(got.body), parameters["boundary"]); ; {
		part, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil || part.Header.Get("Content-Type") != "application/http" {
			c.t.Fatalf("a part is of type %q, %v", part.Header.Get("Content-Type"), err)
		}
		r, err := http.ReadResponse(bufio.NewReader(part), nil)
		if err != nil {
			c.t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, fmt.Sprint(part.Header.Get("Content-Id"), " ", r.StatusCode, " ", string(text)))
	}
}

// Several calls go in one request, and each of them is one by itself.
func TestStorageBatch(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	if got := c.bindBucket("reports", iam.Binding{Role: "roles/storage.objectViewer", Members: []string{agentMember}}); got.code != 200 {
		t.Fatal(string(got.body))
	}
	call := func(id, request string) string {
		part := "Content-Type: application/http\r\n"
		if id != "" {
			part += "Content-ID: " + id + "\r\n"
		}
		return part + "\r\n" + request
	}
	const object = "/storage/v1/b/reports/o/2026%2Fa.txt"
	const patch = `{"metadata":{"a":"b"}}`
	length := fmt.Sprintf("Content-Length: %d", len(patch))
	parts := []string{
		call("<x+1>", "GET "+object+" HTTP/1.1\r\n\r\n"),
		call("<x+2>", "DELETE "+object+" HTTP/1.1\r\naccept: application/json\r\n\r\n"),
		call("bare", "PATCH "+object+" HTTP/1.1\r\nAuthorization: Bearer operator\r\nContent-Type: application/json\r\n"+length+"\r\n\r\n"+patch+"\r\n"),
		call("", "GET https://storage.googleapis.com/storage/v1/b/reports/o?fields=x&prefix=2025 HTTP/1.1\n\n"),
		call("", "PATCH "+object+"\nAuthorization: Bearer operator\n\n"+patch),
		call("<6>", "GET "+object+" HTTP/1.1\r\nAuthorization: Bearer nobody\r\n\r\n"),
		call("<7>", "GET /storage/v1/b/reports/o/missing HTTP/1.1\r\n\r\n"),
		call("<8>", "GET "+object+"?alt=media HTTP/1.1\r\n\r\n"),
		call("<9>", "GET /download"+object+" HTTP/1.1\r\n\r\n"),
		call("<10>", "POST /upload/storage/v1/b/reports/o?uploadType=media&name=n HTTP/1.1\r\nAuthorization: Bearer operator\r\n\r\nx"),
		call("<11>", "GET /reports/2026/a.txt HTTP/1.1\r\n\r\n"),
		call("<12>", "POST /batch/storage/v1 HTTP/1.1\r\n\r\n"),
		call("<13>", "GET https://iam.googleapis.com/v1/projects/acme/serviceAccounts HTTP/1.1\r\nAuthorization: Bearer operator\r\n\r\n"),
		call("<14>", "GET /v1/projects/acme/serviceAccounts HTTP/1.1\r\nAuthorization: Bearer operator\r\n\r\n"),
		call("<15>", "nonsense"),
		"Content-ID: <16>\r\n\r\nGET " + object + " HTTP/1.1\r\n\r\n",
		call("<17>", "DELETE /storage/v1/b/reports/o/2025%2Fold.txt HTTP/1.1\r\nAuthorization: Bearer operator\r\n\r\n"),
		call("<18>", "GET /storage/v1/b/reports/o/2025%2Fold.txt HTTP/1.1\r\nAuthorization: Bearer operator\r\n\r\n"),
	}
	want := []string{
		"<response-x+1> 200 ", "<response-x+2> 403 ", "response-bare 200 ", " 200 ", " 200 ", "<response-6> 401 ", "<response-7> 404 ",
		"<response-8> 400 ", "<response-9> 400 ", "<response-10> 400 ", "<response-11> 400 ", "<response-12> 501 ", "<response-13> 400 ",
		"<response-14> 400 ", "<response-15> 400 ", "<response-16> 400 ", "<response-17> 204 ", "<response-18> 404 ",
	}
	inside := map[int]string{0: `"name":"2026/a.txt"`, 1: "storage.objects.delete", 2: `"metadata":{"a":"b"}`, 3: "2025/old.txt", 4: `"metageneration":"3"`}
	got := c.batch("agent", "storage.googleapis.com/batch/storage/v1", parts)
	if len(got) != len(want) {
		t.Fatalf("%d calls have %d answers", len(want), len(got))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) || !strings.Contains(got[i], inside[i]) {
			t.Errorf("call %d is answered %s\nwant %s %s", i, got[i], want[i], inside[i])
		}
	}
	for _, url := range []string{"www.googleapis.com/batch/storage/v1", "127.0.0.1:8790/batch/storage/v1"} {
		if got := c.batch("agent", url, parts[:2]); !strings.HasPrefix(got[0], "<response-x+1> 200 ") || !strings.HasPrefix(got[1], "<response-x+2> 403 ") {
			t.Errorf("%s: %q", url, got)
		}
	}
	// Without a login; and whoever names a payer for all names it for each.
	if got := c.batch("", "storage.googleapis.com/batch/storage/v1", parts[:1]); !strings.HasPrefix(got[0], "<response-x+1> 401 ") {
		t.Errorf("by nobody: %q", got)
	}
	if got := c.batch("agent", "storage.googleapis.com/batch/storage/v1", parts[:1], "X-Goog-User-Project: acme"); !strings.HasPrefix(got[0], "<response-x+1> 403 ") {
		t.Errorf("with a payer: %q", got)
	}

	many := make([]string, 101)
	for i := range many {
		many[i] = call("", "DELETE /storage/v1/b/reports/o/2026%2Fsub%2Fb.txt HTTP/1.1\r\n\r\n")
	}
	const multi = "Content-Type: multipart/mixed; boundary=b"
	body := func(parts ...string) string { return "--b\r\n" + strings.Join(parts, "\r\n--b\r\n") + "\r\n--b--\r\n" }
	for _, tt := range []struct{ body, header string }{
		{body(many...), multi}, {body(call("", "GET "+object+" HTTP/1.1\r\n\r\n"+strings.Repeat("x", 10<<20))), multi},
		{"--b--", multi}, {"", multi}, {body(many[0]), "Content-Type: multipart/mixed"}, {body(many[0]), "Content-Type: multipart/related; boundary=b"},
		{"--b\r\n" + many[0], multi},
	} {
		c.want(400, nil, "operator", "POST storage.googleapis.com/batch/storage/v1", tt.body, tt.header)
	}
	c.want(200, nil, "operator", "GET "+gcs+"/b/reports/o/2026%2Fsub%2Fb.txt", "")
	if got := c.batch("operator", "storage.googleapis.com/batch/storage/v1", many[:100]); len(got) != 100 || !strings.HasPrefix(got[0], " 204") || !strings.HasPrefix(got[1], " 404") {
		t.Errorf("a hundred calls: %d, %q", len(got), got[:2])
	}
	c.want(501, nil, "operator", "POST iam.googleapis.com/batch/storage/v1", body(many[0]), multi)
}
