package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// theirWork is a task by which the clients have something to do.
const theirWork = `version = 1
[task]
name    = "work"
project = "acme-agents"
ttl     = "1h"
[[grant]]
role     = "roles/storage.objectAdmin"
resource = "gs://acme-drop"
[[grant]]
role     = "roles/bigquery.dataViewer"
resource = "projects/acme-data/datasets/sales"
[[grant]]
role     = "roles/bigquery.jobUser"
resource = "projects/acme-agents"
[credentials]
deliver = "metadata"
`

// works are what is done in a sandbox, each by a program that may not be installed.
var works = []struct{ needs, script string }{
	{"gcloud", `echo one >object
gcloud storage cp object gs://acme-drop/notes/object
gcloud storage cat gs://acme-drop/notes/object | grep -q one`},
	{"bq", `bq ls acme-data:sales | grep orders
bq head -n 1 acme-data:sales.orders | grep 'Bolt & Sons'
bq --project_id=acme-agents query --nouse_legacy_sql 'SELECT * FROM ` + "`acme-data.sales.orders`" + `' | grep 'Bolt & Sons'`},
	{"terraform", `mkdir tf
cd tf
export CHECKPOINT_DISABLE=1
cat >main.tf <<'END'
terraform {
  backend "gcs" {
    bucket = "acme-drop"
    prefix = "work"
  }
}
resource "terraform_data" "a" { input = "b" }
END
terraform init -no-color -input=false
terraform apply -no-color -auto-approve`},
	{"git", `git init -q --bare --shared up.git
git clone -q up.git a
cd a
echo x >f
git add f
git -c user.name=a -c user.email=a@example.com commit -q -m x
git push -q origin HEAD
cd ..
git clone -q up.git b
cat b/f
git -C b gc -q`},
	{"go", `mkdir g
cd g
echo 'module example.com/g' >go.mod
cat >g_test.go <<'END'
package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
)

func TestG(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if _, err := http.Get(s.URL); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("true").Run(); err != nil {
		t.Fatal(err)
	}
}
END
printf 'package main\n\nfunc main() { println("built") }\n' >main.go
go vet
go test ./...
go build -o g
./g`},
	{"python3", `python3 -m venv --without-pip v
v/bin/python -c 'import asyncio, multiprocessing, socket, sqlite3, ssl
async def main():
    p = await asyncio.create_subprocess_exec("true")
    assert await p.wait() == 0
if __name__ == "__main__":
    asyncio.run(main())
    print(multiprocessing.get_context("fork").Pool(2).map(abs, [-1]), socket.socketpair())'`},
	{"node", `node -e 'const w = require("worker_threads"), c = require("child_process"), f = require("fs").promises;
new w.Worker("", {eval: true}); f.readFile("/etc/hosts");
c.spawn(process.execPath, ["-e", "0"]).on("exit", (code) => { process.exitCode = code })'`},
	{"npm", `mkdir n
cd n
npm init -y >npm.said
# The emulator is the proxy, and leads nowhere else.
env -u HTTPS_PROXY -u https_proxy NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt npm install --no-audit --no-fund ms
node -e 'console.log(require("ms")("1d"))'`},
	{"gdb", `[ -x /usr/bin/gcc ] || exit 0
echo 'int main(){return 0;}' >d.c
gcc -g d.c -o d
gdb -batch -ex 'break main' -ex run -ex bt -ex continue ./d | grep 'exited normally'`},
	{"strace", `strace -f -e trace=execve -o said sh -c 'true & wait'
grep -q exited said`},
	{"dlv", `cd g
printf 'break main.main\ncontinue\nnext\ncontinue\nexit\n' >../dlv.init
dlv exec --allow-non-terminal-interactive=true --init ../dlv.init ./g 2>&1 | grep built`},
	{"java", `mkdir j
cd j
cat >Main.java <<'END'
public class Main {
	public static void main(String[] a) throws Exception {
		Thread t = new Thread(() -> System.out.println("thread"));
		t.start();
		t.join();
		System.exit(new ProcessBuilder("true").start().waitFor());
	}
}
END
[ -x /usr/bin/javac ] || exec java -version
javac Main.java
java Main`},
	{"make", `printf 'all: b\n\ttrue\nb:\n\ttouch b\n' >Makefile
make -j2`},
}

// TestIsolatedClients does a day's work in a sandbox. What is not installed is left out.
func TestIsolatedClients(t *testing.T) {
	t.Parallel()
	manyProcesses(t)
	if !*tableAll {
		t.Skip("it takes a minute, and a package registry: make clients runs it")
	}
	s := isolation(t)
	var script strings.Builder
	flags := []string{"--allow-ptrace"}
	for _, w := range works {
		if at, err := exec.LookPath(w.needs); err == nil {
			if w.needs == "dlv" { // which make clients fetches
				flags = append(flags, "--ro", at)
			}
			script.WriteString("(set -ex\n" + w.script + "\n) </dev/null\n[ $? = 0 ] || echo failed: " + w.needs + "\n")
		}
	}
	c := s.isolated("tree", "--isolate", s.write("work.toml", theirWork), "sh", "-c", script.String())
	if cache, err := exec.Command("go", "env", "GOCACHE").Output(); err == nil { // else it builds Go's own packages first
		at := strings.TrimSpace(string(cache))
		flags = append(flags, "--rw", at, "--env", "GOCACHE="+at)
	}
	c.args = slices.Insert(c.args, 3, flags...)
	if o := s.run(c); o.code != 0 || strings.Contains(o.stdout, "failed: ") {
		t.Errorf("%d\n%s\n%s", o.code, o.stdout, o.stderr)
	}
}
