package review

import (
	"testing"
	"time"

	"github.com/taskiam/taskiam/internal/policy"
	"github.com/taskiam/taskiam/internal/resource"
)

func TestHoldsIsOnlyWhatIsKnown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		expression, on string
		want           bool
	}{
		{policy.UntilExpression(now.Add(time.Second)), "gs://b-1", true},
		{policy.UntilExpression(now), "gs://b-1", false},
		{`request.time.getHours("Europe/Berlin") == 14`, "gs://b-1", true},
		{`request.time.getHours("Europe/Berlin") == 12`, "gs://b-1", false},
		{policy.PrefixExpression("b-1", "2026/"), "gs://b-1", false},
		{`resource.name == "projects/_/buckets/b-1"`, "gs://b-1", true},
		{`resource.type == "storage.googleapis.com/Object"`, "gs://b-1", false},
		// A secret's name has the project's number, which a name with its id does not tell.
		{`resource.name != "x"`, "projects/p-123456/secrets/s", false},
		{`resource.matchTag("a/b", "c")`, "projects/p-123456", false},
		{`not CEL`, "projects/p-123456", false},
	} {
		name, _, err := resource.Parse(tt.on)
		if err != nil {
			t.Fatal(err)
		}
		if got := Holds(tt.expression, name, now); got != tt.want {
			t.Errorf("Holds(%s) on %s = %v, want %v", tt.expression, tt.on, got, tt.want)
		}
	}
}
