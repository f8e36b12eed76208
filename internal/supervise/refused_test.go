package supervise

import (
	"bytes"
	"strings"
	"testing"
)

func TestOverheard(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"bwrap: No permissions to create new namespace, likely because the kernel does not allow\n": saidWithoutUserns[0],
		"[1:1] FATAL: No usable sandbox! If you are running on":                                     "No usable sandbox!",
		strings.Repeat("x", 5000) + "unshare: unshare failed: Operation not permitted":              "unshare failed: Operation not permitted",
		"unshare: unshare failed: No space left on device":                                          "",
		"Operation not permitted": "",
	} {
		for _, size := range []int{1, 7, len(said)} { // however it is cut into writes
			var e overheard
			var out bytes.Buffer
			to := e.on(&out)
			for rest := []byte(said); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				if _, err := to.Write(rest[:min(size, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if e.has() != want || out.String() != said {
				t.Errorf("%q, %d bytes at a time: heard %q, want %q", said, size, e.has(), want)
			}
		}
	}
}
