package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What is outside of the sandbox, as the adversary knows it: where to look, and not what
// is there. The test writes it into the work tree, as targetsFile.
type targets struct {
	Place    place
	Operator []string // files with a login of the operator's
	Journals string   // the folder
	Keep     string   // a folder of the operator's
	Marker   string   // an argument of what is left behind
	Manifest string   // its own

	Neighbour struct { // an isolated run
		Account, Delivery, Metadata string
	}
	Open struct { // one that is not isolated
		Account, Delivery, Metadata string
	}
	Processes []int  // taskiam's, and the emulator's
	Emulator  string // its address
	Abstract  string // a socket of the operator's
	Server    string // another one, on loopback
	Keyring   int    // the operator's own
	Key       string // the name of a key in it
}

const (
	targetsFile = "targets.json"
	lootFile    = "loot.json"
)

// loot is what the thief carries off, for later.
type loot struct {
	Account, Token, Identity, Subject, Metadata string
}

// attempt is one thing that a thief has tried, and what came of it.
type attempt struct{ Attack, What, Got string }

// thief is the program of an adversary: it plays all [attacks] with what it can see and
// prints what came of each. `thief loot` only takes what can be taken, and stays.
func thief() {
	t := &burglar{self: os.Getenv("CLOUDSDK_CORE_ACCOUNT"), client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       waitLimit,
	}}
	switch {
	case len(os.Args) > 2 && os.Args[1] == "mount":
		fmt.Println(t.mount(os.Args[2:]))
		return
	case len(os.Args) > 1 && os.Args[1] == "nest":
		fmt.Println(outcomeOf(nest(os.Getenv("CLOUDSDK_CONFIG"))))
		return
	case len(os.Args) > 1 && os.Args[1] == "allowed":
		allowed()
		return
	case len(os.Args) > 1 && os.Args[1] == "loot":
		t.take()
		for { // until somebody ends it
			time.Sleep(time.Hour)
		}
	}
	if err := t.read(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	t.take()
	out := json.NewEncoder(os.Stdout)
	for _, a := range everything() {
		for _, m := range a.moves {
			got := untried
			if m.expected(t.Place) != untried {
				got = m.try(t)
			}
			if err := out.Encode(attempt{a.name, m.what, got}); err != nil {
				os.Exit(1)
			}
		}
	}
}

// burglar is a thief at work.
type burglar struct {
	targets
	self   string // the account
	token  string
	client *http.Client
	open   []net.Conn // never closed
}

func (t *burglar) read() error {
	b, err := os.ReadFile(targetsFile)
	if err == nil {
		err = json.Unmarshal(b, &t.targets)
	}
	return err
}

// take writes down what outlives the command.
func (t *burglar) take() {
	t.token = t.mint()
	l := loot{Account: t.self, Token: t.token, Metadata: os.Getenv("GCE_METADATA_HOST")}
	_, l.Identity = t.metadata("GET", "/computeMetadata/v1/instance/service-accounts/default/identity?audience="+url.QueryEscape(reportsAudience))
	_, l.Subject = t.metadata("GET", "/taskiam/subject-token")
	b, err := json.Marshal(l)
	if err == nil {
		err = os.WriteFile(lootFile+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(lootFile+".new", lootFile)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// mint asks the run's metadata server for a token.
func (t *burglar) mint() string {
	_, body := t.metadata("GET", "/computeMetadata/v1/instance/service-accounts/default/token")
	var token struct {
		AccessToken string `json:"access_token"`
	}
	_ = json.Unmarshal([]byte(body), &token) // there is none then
	return token.AccessToken
}

// metadata speaks to a metadata server: the run's, unless a header "at" names another.
func (t *burglar) metadata(method, path string, headers ...string) (int, string) {
	at := os.Getenv("GCE_METADATA_HOST")
	r, err := http.NewRequest(method, "http://"+at+path, nil)
	if err != nil {
		return 0, outcomeOf(err)
	}
	r.Header.Set("Metadata-Flavor", "Google")
	for i := 0; i+1 < len(headers); i += 2 {
		switch name, value := headers[i], headers[i+1]; name {
		case "at":
			r.URL.Host, r.Host = value, value
		case "Host":
			r.Host = value
		case "body":
			r.Body = io.NopCloser(strings.NewReader(value))
		case "":
			r.Header.Del(value)
		default:
			r.Header.Set(name, value)
		}
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: waitLimit}).Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok && !failed.Timeout() {
		return 0, noConnection // refused, or ended without an answer
	}
	if err != nil {
		return 0, outcomeOf(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body) // what there is of it
	return resp.StatusCode, strings.TrimSpace(string(body))
}

// call calls an API as a client would, at its production URL.
func (t *burglar) call(token, method, url, body string) string {
	url = strings.NewReplacer("{self}", t.self, "{other}", t.Neighbour.Account).Replace(url)
	body = strings.NewReplacer("{self}", t.self, "{other}", t.Neighbour.Account).Replace(body)
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return outcomeOf(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(r)
	if err != nil {
		return outcomeOf(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return outcomeOf(err)
	}
	if resp.StatusCode < 400 {
		return succeeded
	}
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", reason(answer)))
}

// succeeded is what came of an attempt that worked.
const succeeded = "done"

// noConnection is what came of one that met with nobody.
const noConnection = "no connection"

// rootOnly is what root's number would open; others' is not tried.
const rootOnly = "as root"

// untried is what is expected of a move that a place has no use for.
const untried = "-"

// outcomeOf says in one word what an attempt met with.
func outcomeOf(err error) string {
	errno := syscall.Errno(0)
	switch {
	case err == nil:
		return succeeded
	case errors.Is(err, fs.ErrNotExist):
		return "not there"
	case errors.Is(err, syscall.ECONNREFUSED):
		return noConnection
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// move is one attempt of an attack.
type move struct {
	what string
	try  func(*burglar) string
	// want is what has to come of it; one of several, parted by |.
	want string
	// but is what comes of it elsewhere: with no network, or with no isolation.
	but map[place]string
}

// expected is what has to come of it at a place.
func (m move) expected(where place) string {
	if want, ok := m.but[where]; ok {
		return want
	}
	return m.want
}

// place is where a thief sits.
type place string

const (
	isolated  place = "--isolate"
	networkno place = "--isolate=nonet"
	barehome  place = "no isolation"
)

// operatorsOwn is the value of variables of the operator's that hold a login.
const operatorsOwn = "hunter2"

const reportsAudience = "https://reports.example.com"

type attackRow struct {
	name string // as docs/threats.md has it
	// stands is whether docs/threats.md says that it is not stopped.
	stands bool
	moves  []move
	// refused are sandboxes that are not made.
	refused []unmade
	// played are what is tried without a sandbox, each on a stage of its own.
	played []play
}

// play is an attack that takes a test.
type play struct {
	what string
	test func(*testing.T)
}

// everything is all rows, the control first.
func everything() []attackRow { return slices.Concat(attacks, kernelAttacks, bareAttacks) }

const (
	credentialsAPI = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
	anyScope       = `{"scope":["https://www.googleapis.com/auth/cloud-platform"],"lifetime":"3600s"}`
	denied         = "403 IAM_PERMISSION_DENIED"
	readOnly       = "read-only file system"
	ownerPolicy    = `{"policy":{"bindings":[{"role":"roles/owner","members":["serviceAccount:{self}"]}]}}`
)

// api is a call with the run's own token.
func api(what, method, url, body, want string) move {
	return move{what: what, want: want, try: func(t *burglar) string { return t.call(t.token, method, url, body) }}
}

// asks is a request to the run's own metadata server.
func asks(what, want, method, path string, headers ...string) move {
	return move{what: what, want: want, try: func(t *burglar) string {
		code, body := t.metadata(method, path, headers...)
		if code == 0 {
			return body
		}
		if code < 400 {
			return succeeded
		}
		return strconv.Itoa(code)
	}}
}

const tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"

// bare is what comes of a move without isolation.
func bare(m move, want string) move {
	m.but = map[place]string{barehome: want}
	return m
}

// attacks is everything that is tried, the control first.
var attacks = slices.Concat(inside, relied)

var inside = []attackRow{
	{name: "use what was granted", stands: true, moves: []move{
		// The control: whatever else is refused, it is not for want of a way.
		api("a secret", "GET", secretsAPI+"/api-key/versions/2:access", "", succeeded),
		api("an object", "GET", objectsAPI+"/2026%2F01.csv?alt=media", "", succeeded),
		asks("a token", succeeded, "GET", tokenPath),
		{what: "its work tree", want: succeeded, try: func(*burglar) string {
			return outcomeOf(errors.Join(os.MkdirAll("a/b", 0o700), os.WriteFile("a/file", nil, 0o600), os.Rename("a/file", "a/b/file"), os.Link("a/b/file", "a/again")))
		}},
	}},
	{name: "mint another token of its own account", moves: []move{
		api("as long as there are", "POST", credentialsAPI+"{self}:generateAccessToken", anyScope, denied),
		api("longer than there are", "POST", credentialsAPI+"{self}:generateAccessToken", strings.Replace(anyScope, "3600", "43200", 1), denied+"|400 INVALID_ARGUMENT"),
		api("an identity token", "POST", credentialsAPI+"{self}:generateIdToken", `{"audience":"https://anything.example"}`, denied),
	}},
	{name: "mint a token of another account", moves: []move{
		api("the build farm's", "POST", credentialsAPI+farm+":generateAccessToken", anyScope, denied),
		api("another run's", "POST", credentialsAPI+"{other}:generateAccessToken", anyScope, denied),
		api("by way of itself", "POST", credentialsAPI+farm+":generateAccessToken", `{"scope":["https://www.googleapis.com/auth/cloud-platform"],"delegates":["projects/-/serviceAccounts/{self}"]}`, denied),
		api("an identity token", "POST", credentialsAPI+farm+":generateIdToken", `{"audience":"https://anything.example"}`, denied),
	}},
	{name: "sign as an account", moves: []move{
		api("bytes, as itself", "POST", credentialsAPI+"{self}:signBlob", `{"payload":"aGk="}`, denied),
		api("a JWT, as itself", "POST", credentialsAPI+"{self}:signJwt", `{"payload":"{\"aud\":\"x\"}"}`, denied),
		api("bytes, as another", "POST", credentialsAPI+farm+":signBlob", `{"payload":"aGk="}`, denied),
		api("a JWT, as another", "POST", credentialsAPI+"{other}:signJwt", `{"payload":"{\"aud\":\"x\"}"}`, denied),
	}},
	{name: "make a key", moves: []move{
		api("of its own", "POST", accountsAPI+"/{self}/keys", "{}", denied),
		api("from a certificate", "POST", accountsAPI+"/{self}/keys:upload", `{"publicKeyData":"eA=="}`, denied+"|400 INVALID_ARGUMENT"),
		api("of another account", "POST", accountsAPI+"/"+farm+"/keys", "{}", denied),
	}},
	{name: "last longer", moves: []move{
		api("another mark", "PATCH", accountsAPI+"/{self}", `{"serviceAccount":{"description":"mine"},"updateMask":"description"}`, denied),
		api("enable itself", "POST", accountsAPI+"/{self}:enable", "{}", denied),
		api("undelete another", "POST", accountsAPI+"/100000000000000000001:undelete", "{}", denied+"|404 NOT_FOUND"),
	}},
	{name: "grant itself more", moves: []move{
		api("on the project", "POST", projectAPI+":setIamPolicy", ownerPolicy, denied),
		api("on the secret", "POST", secretsAPI+"/api-key:setIamPolicy", strings.Replace(ownerPolicy, "owner", "secretmanager.admin", 1), denied),
		api("on the topic", "POST", topicAPI+":setIamPolicy", strings.Replace(ownerPolicy, "owner", "pubsub.admin", 1), denied),
		api("on the bucket", "PUT", bucketAPI+"/iam", `{"bindings":[{"role":"roles/storage.admin","members":["serviceAccount:{self}"]}]}`, "403 forbidden"),
		api("on its account", "POST", accountsAPI+"/{self}:setIamPolicy", strings.Replace(ownerPolicy, "owner", "iam.serviceAccountTokenCreator", 1), denied),
		api("on another account", "POST", accountsAPI+"/"+farm+":setIamPolicy", strings.Replace(ownerPolicy, "owner", "iam.serviceAccountTokenCreator", 1), denied),
		api("on a dataset", "PATCH", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales", `{"access":[{"role":"OWNER","userByEmail":"{self}"}]}`, "403 accessDenied"),
	}},
	{name: "make something that stays", moves: []move{
		api("an account", "POST", accountsAPI, `{"accountId":"stays-here"}`, denied),
		api("a role", "POST", "https://iam.googleapis.com/v1/projects/acme-agents/roles", `{"roleId":"stays","role":{"includedPermissions":["iam.roles.get"]}}`, denied),
		api("a secret", "POST", secretsAPI+"?secretId=stays", `{"replication":{"automatic":{}}}`, denied),
		api("an object", "POST", "https://storage.googleapis.com/upload/storage/v1/b/acme-drop/o?uploadType=media&name=stays", "x", "403 forbidden"),
		api("an upload to go on with", "POST", "https://storage.googleapis.com/upload/storage/v1/b/acme-drop/o?uploadType=resumable&name=stays", "{}", "403 forbidden"),
	}},
	{name: "read what was not granted", moves: []move{
		api("another secret", "GET", secretsAPI+"/db-password/versions/1:access", "", denied),
		api("a version that its condition excludes", "GET", secretsAPI+"/api-key/versions/1:access", "", denied),
		api("another year's object", "GET", objectsAPI+"/2025%2F12.csv?alt=media", "", "403 forbidden"),
		api("the bucket's list", "GET", objectsAPI, "", "403 forbidden"),
		api("rows", "GET", "https://bigquery.googleapis.com/bigquery/v2/projects/acme-data/datasets/sales/tables/orders/data", "", "403 accessDenied"),
		api("the project's policy", "POST", projectAPI+":getIamPolicy", "{}", denied),
		api("the project's accounts", "GET", accountsAPI, "", denied),
	}},
	{name: "find the operator's login", moves: []move{
		{what: "in files", want: "not there", but: map[place]string{barehome: succeeded}, try: func(t *burglar) string {
			return t.first(t.Operator, func(path string) error { _, err := os.ReadFile(path); return err })
		}},
		{what: "in the environment", want: "nothing", try: func(t *burglar) string {
			for _, v := range os.Environ() {
				name, value, _ := strings.Cut(v, "=")
				if loginLike.MatchString(value) || slices.Contains(t.Operator, value) {
					return name
				}
			}
			return "nothing"
		}},
		{what: "in variables whose names no list has", want: "nothing", try: func(*burglar) string {
			for _, v := range os.Environ() {
				if name, value, _ := strings.Cut(v, "="); value == operatorsOwn {
					return name
				}
			}
			return "nothing"
		}},
		{what: "behind a descriptor", want: "nothing", try: func(t *burglar) string {
			// The standard three, and what this process opened itself: sockets.
			entries, err := os.ReadDir("/proc/self/fd")
			for _, e := range entries {
				if n, bad := strconv.Atoi(e.Name()); bad == nil && n > 2 {
					if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/") {
						return target
					}
				}
			}
			if err != nil {
				return outcomeOf(err)
			}
			return "nothing"
		}},
		{what: "in a keyring", want: "nothing", but: map[place]string{barehome: untried}, try: func(*burglar) string {
			for _, ring := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING} {
				if n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, ring, make([]byte, 64), 0); err == nil && n > 0 {
					return fmt.Sprint(n, " bytes")
				}
			}
			return "nothing"
		}},
		bare(move{what: "in another process's environment", want: "not there", try: func(t *burglar) string {
			return t.eachProcess(func(pid int) error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); return err })
		}}, succeeded),
		bare(move{what: "in another process's files", want: "not there", try: func(t *burglar) string {
			return t.eachProcess(func(pid int) error {
				_, err := os.ReadDir(fmt.Sprintf("/proc/%d/root/%s", pid, t.Journals))
				return err
			})
		}}, succeeded),
	}},
	{name: "get hold of a process outside", moves: []move{
		bare(move{what: "signal it", want: "no such process", try: func(t *burglar) string {
			return t.eachProcess(func(pid int) error { return unix.Kill(pid, 0) })
		}}, succeeded),
		// At address 0 there is nothing to be read, if reading is allowed.
		bare(move{what: "read its memory", want: "operation not permitted", try: func(t *burglar) string {
			return t.eachProcess(func(pid int) error {
				var b [1]byte
				_, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &b[0], Len: 1}}, []unix.RemoteIovec{{Len: 1}}, 0)
				return err
			})
		}}, "bad address|operation not permitted"),
		bare(move{what: "have its descriptors", want: "no such process", try: func(t *burglar) string {
			return t.eachProcess(func(pid int) error {
				fd, err := unix.PidfdOpen(pid, 0)
				if err == nil {
					err = unix.Close(fd)
				}
				return err
			})
		}}, succeeded),
		{
			what: "as the other end of a socket", want: untried,
			but: map[place]string{networkno: "invalid argument|protocol not available"},
			try: func(*burglar) string { return outcomeOf(signalsPeer("/run/taskiam/metadata.sock")) },
		},
	}},
	{name: "read another run's delivery", moves: []move{
		bare(move{what: "an isolated run's", want: "not there", try: func(t *burglar) string { _, err := os.ReadDir(t.Neighbour.Delivery); return outcomeOf(err) }}, succeeded),
		bare(move{what: "another one's", want: "not there", try: func(t *burglar) string { _, err := os.ReadDir(t.Open.Delivery); return outcomeOf(err) }}, succeeded),
	}},
	{name: "reach the journal", moves: []move{
		bare(move{what: "read it", want: "not there", try: func(t *burglar) string { _, err := os.ReadDir(t.Journals); return outcomeOf(err) }}, succeeded),
		bare(move{what: "write there", want: "not there", try: func(t *burglar) string {
			f, err := os.CreateTemp(t.Journals, "planted")
			if err == nil {
				err = errors.Join(f.Close(), os.Remove(f.Name()))
			}
			return outcomeOf(err)
		}}, succeeded),
	}},
	{name: "ask the metadata server of another isolated run", moves: []move{
		{what: "at its port", want: noConnection, try: func(t *burglar) string {
			code, body := t.metadata("GET", tokenPath, "at", t.Neighbour.Metadata)
			if code != 0 {
				return strconv.Itoa(code)
			}
			return body
		}},
	}},
	{name: "ask the metadata server of a run that is not isolated", stands: true, moves: []move{
		{what: "at its port", want: "200", but: map[place]string{networkno: noConnection}, try: func(t *burglar) string {
			code, body := t.metadata("GET", "/computeMetadata/v1/instance/service-accounts/default/email", "at", t.Open.Metadata)
			if code != 0 {
				return strconv.Itoa(code)
			}
			return body
		}},
	}},
	{name: "speak to the metadata server out of turn", moves: []move{
		asks("by another name", "403", "GET", tokenPath, "Host", "evil.example"),
		asks("by another port", "403", "GET", tokenPath, "Host", "127.0.0.1:1"),
		asks("through a proxy", "403", "GET", tokenPath, "X-Forwarded-For", "192.0.2.1"),
		asks("through a newer proxy", "403", "GET", tokenPath, "Forwarded", "for=192.0.2.1"),
		asks("without its header", "403", "GET", tokenPath, "", "Metadata-Flavor"),
		asks("by POST", "405", "POST", tokenPath),
		asks("by OPTIONS", "405", "OPTIONS", "/"),
		asks("with a subject token of its own", "400", "POST", "/taskiam/v1/token", "Content-Type", "application/x-www-form-urlencoded", "body", "subject_token=mine"),
		asks("without a subject token", "401", "POST", "/taskiam/v1/projects/-/serviceAccounts/default:generateAccessToken"),
	}},
	{name: "ask the metadata server for more", moves: []move{
		asks("a scope beyond Google Cloud", "403", "GET", tokenPath+"?scopes=https://www.googleapis.com/auth/drive"),
		asks("another audience", "404", "GET", strings.TrimSuffix(tokenPath, "token")+"identity?audience=https://anything.example"),
		asks("another account", "404", "GET", "/computeMetadata/v1/instance/service-accounts/"+farm+"/token"),
		{what: "another account, by impersonation", want: "404", try: func(t *burglar) string {
			_, subject := t.metadata("GET", "/taskiam/subject-token")
			form := url.Values{
				"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {subject},
				"audience": {"//iam.googleapis.com/locations/global/workloadIdentityPools/taskiam/providers/local"},
			}
			_, body := t.metadata("POST", "/taskiam/v1/token", "Content-Type", "application/x-www-form-urlencoded", "body", form.Encode())
			var exchanged struct {
				AccessToken string `json:"access_token"`
			}
			if err := json.Unmarshal([]byte(body), &exchanged); err != nil {
				return body
			}
			code, _ := t.metadata("POST", "/taskiam/v1/projects/-/serviceAccounts/"+farm+":generateAccessToken", "Authorization", "Bearer "+exchanged.AccessToken, "body", "{}")
			return strconv.Itoa(code)
		}},
		{what: "more tokens than it keeps", want: "403", try: func(t *burglar) string {
			for i := range 40 {
				code, _ := t.metadata("GET", tokenPath+"?scopes=https://www.googleapis.com/auth/compute"+strconv.Itoa(i))
				if code != 200 {
					return strconv.Itoa(code)
				}
			}
			return succeeded
		}},
	}},
	{name: "stand in for the metadata server", moves: []move{
		{what: "listen at its port", want: "address already in use", try: func(*burglar) string {
			l, err := net.Listen("tcp", os.Getenv("GCE_METADATA_HOST"))
			if err == nil {
				err = l.Close()
			}
			return outcomeOf(err)
		}},
	}},
	{name: "change the delivery", moves: []move{
		bare(move{what: "write into it", want: readOnly, try: func(*burglar) string {
			path := inDelivery("planted")
			return outcomeOf(errors.Join(os.WriteFile(path, nil, 0o600), removeIf(path)))
		}}, succeeded),
		bare(move{what: "put a link in the place of a file", want: readOnly, try: func(t *burglar) string {
			path := inDelivery("README")
			return outcomeOf(errors.Join(removeIf(path), os.Symlink(filepath.Join(t.Keep, "notes.txt"), path)))
		}}, succeeded),
		// Taking the run down must not go through it: the test looks.
		{what: "put a link in the place of the writable folder", want: "device or resource busy|" + readOnly, but: map[place]string{barehome: succeeded}, try: func(t *burglar) string {
			path := os.Getenv("CLOUDSDK_CONFIG")
			return outcomeOf(errors.Join(os.Remove(path), os.Symlink(t.Keep, path)))
		}},
		{what: "in namespaces of its own", want: "operation not permitted", but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return spawnMount("remount", os.Getenv("TASKIAM_DELIVERY"))
		}},
	}},
	{name: "fill the disk of the delivery", moves: []move{
		{what: "by the folder that is writable", want: "memory of its own", but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return fileSystem(os.Getenv("CLOUDSDK_CONFIG"))
		}},
		{what: "by the rest of it", want: "read-only", but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return fileSystem(os.Getenv("TASKIAM_DELIVERY"))
		}},
	}},
	{name: "keep `down` from its work by what it puts into the delivery", moves: []move{
		// The test looks whether the run ended well.
		{what: "a tree that is too deep for a path", want: succeeded, but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return outcomeOf(nest(os.Getenv("CLOUDSDK_CONFIG")))
		}},
	}, played: []play{{"without isolation", deliveryIsHardToRemove}}},
	{name: "turn the kernel's switches", moves: []move{
		// Nothing is written: that such a file can be opened is enough.
		{what: "who gets core dumps", want: readOnly + "|permission denied", but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return openForWriting("/proc/sys/kernel/core_pattern")
		}},
		{what: "any other", want: "none", but: map[place]string{barehome: untried}, try: func(*burglar) string { return firstSwitch() }},
		{what: "in another /proc", want: "operation not permitted", but: map[place]string{barehome: untried}, try: func(*burglar) string { return spawnMount("proc") }},
		{what: "in a /sys", want: "operation not permitted", but: map[place]string{barehome: untried}, try: func(*burglar) string { return spawnMount("sysfs") }},
	}},
	{name: "reach the machine's control groups", moves: []move{
		{what: rootOnly, want: "operation not permitted", but: map[place]string{barehome: untried}, try: func(*burglar) string { return spawnMount("cgroup2") }},
	}},
	{name: "replace taskiam", moves: []move{
		{what: "as a file", want: "read-only", but: map[place]string{barehome: untried}, try: func(*burglar) string { return fileSystem("/run/taskiam/taskiam") }},
		{what: "as a process", want: "permission denied|" + readOnly + "|text file busy", but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return openForWriting(fmt.Sprintf("/proc/%d/exe", os.Getppid()))
		}},
		{what: "as what is found first", want: readOnly, but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return outcomeOf(os.WriteFile("/usr/bin/taskiam", nil, 0o700))
		}},
	}},
	{name: "type into the operator's terminal", moves: []move{
		{what: "through standard input", want: "operation not permitted", but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return outcomeOf(unix.IoctlSetPointerInt(0, unix.TIOCSTI, 'x'))
		}},
		{what: "take it over", want: noTerminal, but: map[place]string{barehome: untried}, try: func(*burglar) string {
			return outcomeOf(unix.IoctlSetInt(0, unix.TIOCSCTTY, 0))
		}},
		sandboxed("change its settings", noTerminal, func(*burglar) string {
			for fd := range 3 {
				settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
				if err == nil {
					settings.Lflag &^= unix.ISIG
					err = unix.IoctlSetTermios(fd, unix.TCSETS, settings)
				}
				if got := outcomeOf(err); got != noTerminal {
					return got
				}
			}
			return noTerminal
		}),
		{what: "by its other name", want: "no such device or address", but: map[place]string{barehome: untried}, try: func(*burglar) string { return openForWriting("/dev/tty") }},
	}, played: []play{{"as another user", typesAsAnother}}},
	{name: "open the files of its streams anew", moves: []move{
		// The test has something in the file that standard error goes to, and looks after it.
		sandboxed("to read them", "nothing", func(*burglar) string {
			for _, fd := range []int{0, 2} { // standard output has what this thief has said itself
				f, err := os.OpenFile(fmt.Sprint("/proc/self/fd/", fd), os.O_RDONLY|syscall.O_NONBLOCK, 0)
				if err != nil {
					continue
				}
				b := make([]byte, 1024)
				n, _ := unix.Read(int(f.Fd()), b)
				_ = f.Close()
				if n > 0 && strings.Contains(string(b[:n]), operatorsOutput) {
					return fmt.Sprint("what is in ", fd)
				}
			}
			return "nothing"
		}),
		sandboxed("to truncate them", "invalid argument", func(*burglar) string {
			return outcomeOf(unix.Truncate("/proc/self/fd/2", 0))
		}),
		sandboxed("to change them", "a pipe", func(*burglar) string {
			for fd := range 3 {
				var st unix.Stat_t
				if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
					return fmt.Sprintf("%d: %#o", fd, st.Mode)
				}
			}
			return "a pipe"
		}),
	}},
	{name: "reach an abstract socket", moves: []move{
		// On a kernel that cannot close them, the test expects it done with --isolate.
		{what: "of the operator's", want: noConnection + "|operation not permitted", but: map[place]string{barehome: succeeded}, try: func(t *burglar) string {
			return dialled("unix", t.Abstract)
		}},
	}},
	{name: "ask the cloud's metadata server for the machine's login", stands: true, moves: []move{
		// Where there is a network, whether it answers is the machine's affair.
		elsewhere("at its address", "169.254.169.254:80"),
		elsewhere("at its newer address", "[fd20:ce::254]:80"),
	}},
	{name: "reach other servers on loopback", stands: true, moves: []move{
		{what: "of the operator's", want: succeeded, but: map[place]string{networkno: noConnection}, try: func(t *burglar) string { return dialled("tcp", t.Server) }},
	}},
	{name: "control the emulator", moves: []move{
		control("its clock", "POST", "clock", `{"advance":"24h"}`),
		control("its faults", "POST", "faults", `{"status":503}`),
		control("its quotas", "PUT", "quotas", `{}`),
		control("all that it knows", "GET", "snapshot", ""),
	}},
	{name: "use the emulator's sample logins", stands: true, moves: []move{
		{what: "Noah's", want: succeeded, try: func(t *burglar) string {
			return t.call(noahToken, "GET", secretsAPI+"/db-password/versions/1:access", "")
		}},
	}},
	{name: "exhaust the metadata server", moves: []move{
		{what: "with headers", want: "431", try: func(t *burglar) string {
			code, body := t.metadata("GET", tokenPath, "X-Long", strings.Repeat("x", 64<<10))
			if code == 0 {
				return body
			}
			return strconv.Itoa(code)
		}},
		{what: "with a body", want: "401|" + noConnection, try: func(t *burglar) string {
			code, body := t.metadata("POST", "/taskiam/v1/projects/-/serviceAccounts/default:generateAccessToken", "body", strings.Repeat("x", 1<<20))
			if code == 0 {
				return body
			}
			return strconv.Itoa(code)
		}},
		// The test looks how long the log is.
		{what: "with requests to be logged", want: "403", try: func(t *burglar) string { return t.flood(1600) }},
		// The test looks whether the run ends. Linux 6.16 refuses them.
		{what: "with files that take long to close", want: untried, but: map[place]string{networkno: "operation not permitted|" + succeeded}, try: func(*burglar) string {
			return outcomeOf(sendLingering(os.Getenv("TASKIAM_DELIVERY"), "metadata.sock"))
		}},
		// These are never closed: the run has to end in spite of them.
		{what: "with connections that say nothing", want: "held", try: func(t *burglar) string {
			for range 400 {
				c, err := net.DialTimeout("tcp", os.Getenv("GCE_METADATA_HOST"), time.Second)
				if err != nil {
					return noConnection
				}
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nX: "); err != nil {
					return noConnection
				}
				t.open = append(t.open, c)
			}
			return "held"
		}},
	}},
	{name: "leave a process behind", moves: []move{
		// The test looks for it.
		{what: "in a session of its own", want: succeeded, try: func(t *burglar) string {
			cmd := exec.Command("sh", "-c", `while :; do sleep 1; done`, t.Marker)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			return outcomeOf(cmd.Start())
		}},
	}},
}

// elsewhere dials an address that no sandbox without a network reaches.
func elsewhere(what, address string) move {
	return move{
		what: what, want: untried, but: map[place]string{networkno: "network is unreachable"},
		try: func(*burglar) string { return dialled("tcp", address) },
	}
}

// loginLike is what a login looks like.
var loginLike = regexp.MustCompile(`ya29\.|-----BEGIN |1//0|refresh_token`)

// control is a request to the emulator's own API, with the token of the run.
func control(what, method, path, body string) move {
	return move{what: what, want: "401 CREDENTIALS_MISSING", try: func(t *burglar) string {
		return t.call(t.token, method, "http://"+t.Emulator+"/_emulator/"+path, body)
	}}
}

// first returns what came of the first that worked, or of the last.
func (t *burglar) first(paths []string, try func(string) error) string {
	got := "nothing to try"
	for _, path := range paths {
		if got = outcomeOf(try(path)); got == succeeded {
			return got
		}
	}
	return got
}

func (t *burglar) eachProcess(try func(int) error) string {
	got := "nothing to try"
	for _, pid := range t.Processes {
		if got = outcomeOf(try(pid)); got == succeeded {
			return got
		}
	}
	return got
}

// flood sends n requests that are refused, with as much as possible to log, and returns
// the answer to the last.
func (t *burglar) flood(n int) string {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: waitLimit}
	last := "nothing"
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range n / 8 {
				r, err := http.NewRequestWithContext(context.Background(), "GET", "http://"+os.Getenv("GCE_METADATA_HOST")+"/"+strings.Repeat("%01", 2000), nil)
				if err != nil {
					return
				}
				r.Host = "evil.example"
				got := ""
				if resp, err := client.Do(r); err != nil {
					got = outcomeOf(err)
				} else {
					_, _ = io.Copy(io.Discard, resp.Body) // to use the connection again
					_ = resp.Body.Close()
					got = strconv.Itoa(resp.StatusCode)
				}
				mu.Lock()
				last = got
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return last
}

func inDelivery(name string) string { return filepath.Join(os.Getenv("TASKIAM_DELIVERY"), name) }

// removeIf removes what may not be there.
func removeIf(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func openForWriting(path string) string {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOCTTY, 0)
	if err == nil {
		err = f.Close()
	}
	return outcomeOf(err)
}

// firstSwitch returns a file of /proc that is about no process and can be written, or "none".
func firstSwitch() string {
	found := "none"
	_ = filepath.WalkDir("/proc", func(path string, d fs.DirEntry, err error) error {
		name, _, _ := strings.Cut(strings.TrimPrefix(path, "/proc/"), "/")
		_, process := strconv.Atoi(name)
		switch {
		case err != nil:
			return nil // what cannot be read is not gone through
		case d.IsDir() && (process == nil || name == "self" || name == "thread-self"):
			return fs.SkipDir
		case isRegular(d) && unix.Access(path, unix.W_OK) == nil:
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// isRegular asks the file and not its folder, which does not know what is mounted on the file.
func isRegular(d fs.DirEntry) bool {
	info, err := d.Info()
	return err == nil && info.Mode().IsRegular()
}

// fileSystem says where what is written in a folder would go.
func fileSystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return outcomeOf(err)
	}
	switch {
	case st.Flags&unix.ST_RDONLY != 0:
		return "read-only"
	case st.Type == unix.TMPFS_MAGIC:
		if dev, up := device(dir), device(filepath.Dir(dir)); dev == up {
			return "the same memory as the rest"
		}
		return "memory of its own"
	}
	return "the disk"
}

func device(path string) uint64 {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0
	}
	return st.Dev
}

// signalsPeer names the process behind a unix socket by what the kernel knows of the connection (Linux 6.5), and asks
// whether it could signal that.
func signalsPeer(path string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var tried error
	err = raw.Control(func(fd uintptr) {
		peer, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD)
		if err == nil {
			err = errors.Join(unix.PidfdSendSignal(peer, 0, nil, 0), unix.Close(peer))
		}
		tried = err
	})
	return errors.Join(err, tried)
}

func dialled(network, address string) string {
	c, err := net.DialTimeout(network, address, waitLimit)
	if err == nil {
		err = c.Close()
	}
	return outcomeOf(err)
}

// spawnMount starts this program in namespaces of its own, with all that it may do there,
// and returns what came of mounting.
func spawnMount(what ...string) string {
	program, err := os.Executable()
	if err != nil {
		return outcomeOf(err)
	}
	cmd := exec.Command(program, append([]string{"mount"}, what...)...)
	cmd.Args[0] = os.Args[0] // by which it knows that it is the thief
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP,
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
	out, err := cmd.Output()
	if line, _ := bufio.NewReader(strings.NewReader(string(out))).ReadString('\n'); line != "" {
		return strings.TrimSpace(line)
	}
	return outcomeOf(err)
}

// mount is what spawnMount starts.
func (t *burglar) mount(what []string) string {
	var caps unix.CapUserHeader
	caps.Version = unix.LINUX_CAPABILITY_VERSION_3
	var data [2]unix.CapUserData
	if err := unix.Capget(&caps, &data[0]); err != nil || data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return fmt.Sprintf("no capability to try with (%v)", err)
	}
	var err error
	switch what[0] {
	case "remount":
		err = unix.Mount("", what[1], "", unix.MS_REMOUNT|unix.MS_BIND, "")
		if err != nil && unix.Unmount(what[1], unix.MNT_DETACH) == nil {
			err = nil
		}
	default:
		err = unix.Mount(what[0], os.TempDir(), what[0], 0, "")
	}
	return outcomeOf(err)
}
