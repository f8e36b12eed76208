package resource

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every form of a name that docs/resources.md shows is read, and each example of its table; the page of the console,
// of which it says that it is refused, is.
func TestDocumentedForms(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../docs/resources.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "A resource is named by any of these:")
	forms, tables, _ := strings.Cut(text, "\nThe columns:")
	places := strings.NewReplacer("BUCKET", "acme-reports", "PROJECT", "acme-agents", "DATASET", "sales", "TABLE", "orders",
		"LOCATION", "europe", "REPOSITORY", "images", "KEY", "projects/acme-agents/locations/eu/keyRings/r/cryptoKeys/k")
	var names []string
	for _, m := range regexp.MustCompile("`([^`\\s]*[/:][^`\\s]*)`").FindAllStringSubmatch(forms, -1) {
		names = append(names, places.Replace(m[1]))
	}
	if len(names) != 8 {
		t.Errorf("the forms are %q", names)
	}
	rows := regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^`]+)` \\| (?:yes|no)").FindAllStringSubmatch(tables, -1)
	if len(rows) < 290 {
		t.Errorf("only %d examples were found", len(rows))
	}
	for _, m := range rows {
		names = append(names, m[1])
	}
	for _, name := range names {
		if _, _, err := Parse(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Parse("https://console.cloud.google.com/storage/browser/acme-reports"); err == nil ||
		!strings.Contains(err.Error(), "is a page of the console and not a resource") {
		t.Errorf("a page of the console: %v", err)
	}
}
