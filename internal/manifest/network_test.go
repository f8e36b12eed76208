package manifest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/taskiam/taskiam/internal/grants"
	"github.com/taskiam/taskiam/internal/resource"
)

var samePrefix = cmpopts.EquateComparable(netip.Prefix{})

// network is a [network] with each of its keys.
const network = `[network]
allow      = ["github.com", "docs.acme.example"]
resources  = ["gs://acme-public-data", "bq://acme-public.weather"]
max_upload = "10MiB"
[[network.host]]
host  = "git.acme.example"
write = true
port  = 8443
addresses = ["10.20.0.0/16", "10.0.0.7", "fd12::/16"]
[[network.host]]
host   = "tunnel.acme.example"
tunnel = true
max_upload = "500KiB"
[[network.host]]
host   = "api.anthropic.com"
header = "x-api-key"
from   = "env:ANTHROPIC_API_KEY"
[[network.host]]
host   = "models.acme.example"
header = "Authorization"
scheme = "Bearer"
from   = "secret:projects/acme-agents/secrets/model-key/versions/3"
[[network.host]]
host   = "a.acme.example"
header = "X-Key"
from   = "file:keys/a"
[[network.host]]
host   = "b.acme.example"
header = "X-Key"
from   = "command:pass show b"
`

func TestParseNetwork(t *testing.T) {
	t.Parallel()
	task, err := Parse("f", []byte(head+good+network), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := &grants.Network{
		MaxUpload: 10 << 20,
		Resources: []resource.Name{name(t, "gs://acme-public-data"), name(t, "bq://acme-public.weather")},
		Hosts: []grants.Host{
			{Name: "github.com", Port: 443}, {Name: "docs.acme.example", Port: 443},
			{Name: "git.acme.example", Port: 8443, Write: true, Addresses: []netip.Prefix{
				netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("10.0.0.7/32"), netip.MustParsePrefix("fd12::/16"),
			}},
			{Name: "tunnel.acme.example", Port: 443, Tunnel: true, MaxUpload: 500 << 10},
			{Name: "api.anthropic.com", Port: 443, Header: "x-api-key", From: grants.Origin{Kind: grants.FromEnv, Name: "ANTHROPIC_API_KEY"}},
			{Name: "models.acme.example", Port: 443, Header: "Authorization", Scheme: "Bearer",
				From: grants.Origin{Kind: grants.FromSecret, Name: "projects/acme-agents/secrets/model-key/versions/3"}},
			{Name: "a.acme.example", Port: 443, Header: "X-Key", From: grants.Origin{Kind: grants.FromFile, Name: "keys/a"}},
			{Name: "b.acme.example", Port: 443, Header: "X-Key", From: grants.Origin{Kind: grants.FromCommand, Name: "pass show b"}},
		},
	}
	if diff := cmp.Diff(want, task.Network, sameName, samePrefix); diff != "" {
		t.Error(diff)
	}
	if task, err = Parse("f", []byte(head+good+"[network]\n"), Limits{}); err != nil || task.Network == nil {
		t.Errorf("an empty table says that nothing more leaves: %+v, %v", task.Network, err)
	}
	if task, err = Parse("f", []byte(head+good), Limits{}); err != nil || task.Network != nil {
		t.Errorf("without a table: %+v, %v", task.Network, err)
	}
}

// networkRefusals are of manifests whose line 8 is [network], unless they say otherwise.
func networkRefusals() []refusal {
	at := func(lines string) string { return head + good + "[network]\n" + lines + "\n" }
	host := func(lines string) string {
		return head + good + "[[network.host]]\nhost = \"a.acme.example\"\n" + lines + "\n"
	}
	const noRequest = " makes a request what it is, or is for one connection: no credential is added there"
	return []refusal{
		{"no table", head + "network = 1\n" + good, []string{`f:5:1: unknown key "network" in [task]; allowed are name, project, ttl, reason`}, []string{""}},
		{"unknown keys", at(`deny = ["x.example"]`) + "[[network.host]]\nhost = \"a.acme.example\"\nvalue = \"hunter2\"\n", []string{
			`f:9:1: unknown key "deny" in [network]; allowed are allow, resources, max_upload, host`,
			`f:12:1: unknown key "value" in [[network.host]]; allowed are host, port, write, tunnel, max_upload, addresses, header, scheme, from`,
		}, []string{"", ""}},
		{"addresses in the place of names", at(`allow = ["10.0.0.1", "[::1]", "::1", "2130706433", "127.1"]`), []string{
			`f:9:10: "10.0.0.1" is an address; a host is known by its name and its certificate`,
			`f:9:22: "[::1]" is an address; a host is known by its name and its certificate`,
			`f:9:31: "::1" is an address; a host is known by its name and its certificate`,
			`f:9:38: "2130706433" is an address; a host is known by its name and its certificate`,
			`f:9:52: "127.1" is an address; a host is known by its name and its certificate`,
		}, []string{"", "", "", "", ""}},
		{"patterns", at(`allow = ["*.acme.example", "*"]`), []string{
			`f:9:10: "*.acme.example" is a pattern; write each host by its name, so that it shows what can be reached`,
			`f:9:28: "*" is a pattern; write each host by its name, so that it shows what can be reached`,
		}, []string{"", ""}},
		{"links, logins and ports", at(`allow = ["https://docs.acme.example/", "me:hunter2@git.acme.example", "git.acme.example:8443"]`), []string{
			`f:9:10: a host is a name, and neither an address with https:// nor a path: what is allowed is the host`,
			`f:9:40: a host is named without a login; a credential is added with header and from`,
			`f:9:71: a port is written in a table of its own: [[network.host]] with host and port`,
		}, []string{"", "", ""}},
		{"other spellings", at(`allow = ["GitHub.com", "github.com.", "localhost", "", "bücher.example", "a..b", "a.0x7f"]`), []string{
			`f:9:10: "GitHub.com": write the name in lower case`,
			`f:9:24: "github.com." is not the full name of a host, such as "docs.acme.example"; other letters are written as DNS has them (xn--...)`,
			`f:9:39: "localhost" is not the full name of a host, such as "docs.acme.example"; other letters are written as DNS has them (xn--...)`,
			`f:9:52: "" is not the full name of a host, such as "docs.acme.example"; other letters are written as DNS has them (xn--...)`,
			`f:9:56: "bücher.example" is not the full name of a host, such as "docs.acme.example"; other letters are written as DNS has them (xn--...)`,
			`f:9:74: "a..b" is not the full name of a host, such as "docs.acme.example"; other letters are written as DNS has them (xn--...)`,
			`f:9:82: "a.0x7f" is not the full name of a host, such as "docs.acme.example"; other letters are written as DNS has them (xn--...)`,
		}, []string{`"github.com"`, "", "", "", "", "", ""}},
		{"Google's hosts", at(`allow = ["storage.googleapis.com", "googleapis.com", "metadata.google.internal"]`), []string{
			`f:9:10: storage.googleapis.com is one of Google's APIs: they follow from the grants, and resources adds to what may be named there`,
			`f:9:36: googleapis.com is one of Google's APIs: they follow from the grants, and resources adds to what may be named there`,
			`f:9:54: metadata.google.internal is where a machine of the cloud asks for its own login`,
		}, []string{"", "", ""}},
		{"tools", at(`allow = ["npm", "go"]`), []string{
			`f:9:10: npm is the name of a tool: name the hosts of its registry`,
			`f:9:17: go is the name of a tool: name the hosts of its registry`,
		}, []string{`"registry.npmjs.org"`, `"proxy.golang.org", "sum.golang.org"`}},
		{"hosts twice", at(`allow = ["a.acme.example", "a.acme.example"]`) + "[[network.host]]\nhost = \"a.acme.example\"\nwrite = true\n", []string{
			`f:9:28: a.acme.example is in line 9 already`,
			`f:11:8: a.acme.example is in line 9 already`,
		}, []string{"", ""}},
		{"resources", at(`resources = ["gs://acme-public/2026/", "nothing", "gs://acme-public", "gs://acme-public", "gs://*"]`), []string{
			`f:9:14: what is reached is a whole bucket, and this names a part of it; IAM decides what can be read there`,
			`f:9:40: "nothing": no resource has this form; did you mean "gs://nothing"?`,
			`f:9:71: "gs://acme-public" is listed twice`,
			`f:9:91: "gs://*": "*" is not a bucket name (3 to 63 of a-z, 0-9, -, _ and ., beginning and ending with a letter or digit)`,
		}, []string{`"gs://acme-public"`, "", "", ""}},
		{"bytes", at("max_upload = \"10 MB\"") + "[[network.host]]\nhost = \"a.acme.example\"\nmax_upload = \"0B\"\n", []string{
			`f:9:14: "10 MB" is not a number of bytes such as "500KiB", "10MiB" or "2GiB"`,
			`f:12:14: "0B" is not a number of bytes such as "500KiB", "10MiB" or "2GiB"`,
		}, []string{uploadExample, uploadExample}},
		{"bytes as a number", at("max_upload = 10"), []string{`f:9:14: max_upload is a string, and this is an integer`}, []string{uploadExample}},
		{"no host", head + good + "[[network.host]]\nwrite = true\n", []string{`f:8:1: [[network.host]] has no host`}, []string{hostExample}},
		{"an empty list", at("host = []"), []string{`f:9:1: host is an empty list`}, []string{"[[network.host]]"}},
		{"ports", host("port = 0") + "[[network.host]]\nhost = \"b.acme.example\"\nport = 65536\n", []string{
			`f:10:8: 0 is not a port; those are 1 to 65535`, `f:13:8: 65536 is not a port; those are 1 to 65535`,
		}, []string{"", ""}},
		{"addresses", host(`addresses = ["169.254.169.254", "0.0.0.0/0", "10.0.0.1/8", "::/0", "::ffff:10.0.0.1", "fe80::1", "10.0.0.0/8", "10.0.0.0/8", "ten", "fe80::1%eth0"]`), []string{
			`f:10:14: "169.254.169.254" has addresses in it that no host may have: nowhere, everybody, or where a machine of a cloud asks for its login`,
			`f:10:33: "0.0.0.0/0" has addresses in it that no host may have: nowhere, everybody, or where a machine of a cloud asks for its login`,
			`f:10:46: "10.0.0.1/8" is not the beginning of its range`,
			`f:10:60: "::/0" has addresses in it that no host may have: nowhere, everybody, or where a machine of a cloud asks for its login`,
			`f:10:68: "::ffff:10.0.0.1" has addresses in it that no host may have: nowhere, everybody, or where a machine of a cloud asks for its login`,
			`f:10:87: "fe80::1" has addresses in it that no host may have: nowhere, everybody, or where a machine of a cloud asks for its login`,
			`f:10:112: "10.0.0.0/8" is listed twice`,
			`f:10:126: "ten" is no address and no range of them, such as "10.20.0.0/16"`,
			`f:10:133: "fe80::1%eth0" is no address and no range of them, such as "10.20.0.0/16"`,
		}, []string{"", "", `"10.0.0.0/8"`, "", "", "", "", addressesExample, addressesExample}},
		{"write and tunnel", host("write = true\ntunnel = true"), []string{
			`f:11:1: either write or tunnel: of a tunnel nothing is seen but bytes, and so everything passes`,
		}, []string{""}},
		{"a credential in a tunnel", host("tunnel = true\nheader = \"X-Key\"\nfrom = \"env:KEY\""), []string{
			`f:10:1: a tunnel is not opened, so that no credential can be added; remove tunnel, or header and from`,
		}, []string{""}},
		{"a credential and other logins", host("write = true\nheader = \"X-Key\"\nfrom = \"env:KEY\""), []string{
			`f:10:1: a host to which a credential is added may be written to, with that one and no other; remove write`,
		}, []string{""}},
		{"no header", host(`from = "env:KEY"`), []string{`f:8:1: [[network.host]] has no header`}, []string{headerExample}},
		{"no from", host(`header = "X-Key"`), []string{
			`f:10:1: header is where a credential is added, and from is missing, which says where that is read`,
		}, []string{fromExample}},
		{"a scheme alone", host(`scheme = "Bearer"`), []string{
			`f:10:1: scheme stands before a credential, and there is none (header and from)`,
		}, []string{""}},
		{"a credential in a header's name", host("header = \"X-Key: hunter2\"\nfrom = \"env:KEY\""), []string{
			`f:10:10: header is the name of a field alone, of letters, digits and -, and never the credential: that is read from elsewhere (from)`,
		}, []string{headerExample}},
		{"a credential in a scheme", host("header = \"Authorization\"\nscheme = \"Bearer hunter2\"\nfrom = \"env:KEY\""), []string{
			`f:11:10: scheme is the word before the credential, such as Bearer, and never the credential itself`,
		}, []string{`scheme = "Bearer"`}},
		{"a header of one connection", host("header = \"Connection\"\nfrom = \"env:KEY\""), []string{`f:10:10: Connection` + noRequest}, []string{headerExample}},
		{"a header of a proxy", host("header = \"Proxy-Authorization\"\nfrom = \"env:KEY\""), []string{`f:10:10: Proxy-Authorization` + noRequest}, []string{headerExample}},
		{"a header that is the host", host("header = \"host\"\nfrom = \"env:KEY\""), []string{`f:10:10: host` + noRequest}, []string{headerExample}},
		{"a header that is the method", host("header = \"X-HTTP-Method-Override\"\nfrom = \"env:KEY\""), []string{`f:10:10: X-HTTP-Method-Override` + noRequest}, []string{headerExample}},
		{"a credential in clear", host("header = \"X-Key\"\nfrom = \"hunter2\""), []string{
			`f:11:8: from says where a credential is, and never is the credential: "env:NAME", "file:PATH", "command:PROGRAM ARGUMENT ..." or "secret:projects/P/secrets/S"`,
		}, []string{fromExample}},
		{"an unknown place", host("header = \"X-Key\"\nfrom = \"vault:kv/key\""), []string{
			`f:11:8: from says where a credential is, and never is the credential: "env:NAME", "file:PATH", "command:PROGRAM ARGUMENT ..." or "secret:projects/P/secrets/S"`,
		}, []string{fromExample}},
		{"a value of a variable", host("header = \"X-Key\"\nfrom = \"env:sk-hunter2\""), []string{
			`f:11:8: after env: comes the name of a variable, of letters, digits and _, and not its value`,
		}, []string{fromExample}},
		{"a file in a home", host("header = \"X-Key\"\nfrom = \"file:~/key\""), []string{
			`f:11:8: after file: comes the path of a file, from the manifest's folder or from / on, not from ~`,
		}, []string{fromExample}},
		{"a command for a shell", host("header = \"X-Key\"\nfrom = \"command:cat key | base64\""), []string{
			`f:11:8: after command: comes a program with its arguments, which run without a shell: spaces separate them, and quotes, $, ; and the like have no meaning; what needs them belongs into a script`,
		}, []string{fromExample}},
		{"a secret that is none", host("header = \"X-Key\"\nfrom = \"secret:api-key\""), []string{
			`f:11:8: after secret: comes projects/PROJECT/secrets/SECRET, and /versions/VERSION if not the latest is meant`,
		}, []string{fromExample}},
		{"a secret of no project", host("header = \"X-Key\"\nfrom = \"secret:projects/p/secrets/s\""), []string{
			`f:11:8: "p" is not a project id (6 to 30 of a-z, 0-9 and -, beginning with a letter and not ending with -; or a project number)`,
		}, []string{fromExample}},
	}
}

// What is refused because a credential stands in the manifest is refused without repeating it.
func TestRefusalsRepeatNoCredential(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, r := range networkRefusals() {
		_, err := Parse("f", []byte(r.src), Limits{})
		if strings.Contains(r.src, "hunter2") {
			tried++
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", r.name, err)
			}
		}
	}
	if tried < 5 {
		t.Errorf("only %d have one", tried)
	}
}

// The layout of a [network] is that of the rest, and nothing of it is lost.
func TestFormatNetwork(t *testing.T) {
	t.Parallel()
	src := []byte(head + good + network)
	formatted, err := Format("f", src)
	if err != nil {
		t.Fatal(err)
	}
	before, err := Parse("f", src, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	after, err := Parse("f", formatted, Limits{})
	if diff := cmp.Diff(before, after, sameName, samePrefix); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if want := "port      = 8443\naddresses = [\"10.20.0.0/16\""; !strings.Contains(string(formatted), want) {
		t.Errorf("no %q in\n%s", want, formatted)
	}
}
