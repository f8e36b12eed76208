package lazy_test

import (
	"testing"

	"github.com/taskiam/taskiam/internal/lazy"
)

func TestRegexp(t *testing.T) {
	t.Parallel()
	digits := lazy.Regexp(`^[0-9]+$`)
	if !digits().MatchString("42") || digits().MatchString("x") {
		t.Error("the pattern matches something else")
	}
	if first, second := digits(), digits(); first != second {
		t.Error("the pattern is compiled more than once")
	}
	wrong := lazy.Regexp(`(`) // is not compiled, so it does not panic
	defer func() {
		if recover() == nil {
			t.Error("a wrong pattern is taken")
		}
	}()
	wrong()
}
