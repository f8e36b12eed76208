package fault

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestKindSurvivesWrapping(t *testing.T) {
	t.Parallel()
	denied := &Error{Kind: Denied, Code: 403, Status: "PERMISSION_DENIED", Message: "no"}
	for name, err := range map[string]error{
		"itself":  denied,
		"wrapped": fmt.Errorf("reading: %w", denied),
		"hinted":  WithHint(denied, "ask"),
		"joined":  errors.Join(errors.New("x"), fmt.Errorf("y: %w", denied)),
	} {
		if got := KindOf(err); got != Denied {
			t.Errorf("%s: KindOf = %s", name, got)
		}
		if !Is(err, NotFound, Denied) || Is(err, NotFound) {
			t.Errorf("%s: Is is wrong", name)
		}
	}
	if KindOf(nil) != Other || Is(nil, Other) || KindOf(errors.New("x")) != Other {
		t.Error("what is not classified is Other, and no error is nothing")
	}
	if err := New(Conflict, "writing: %w", denied); KindOf(err) != Conflict || !errors.Is(err, denied) {
		t.Errorf("the outer kind is to count, and the cause to be kept: %v", err)
	}
}

func TestErrorSaysWhatGoogleSaid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  Error
		want string
	}{
		{Error{Message: "plain"}, "plain"},
		{Error{Err: errors.New("cause")}, "cause"},
		{Error{Message: "no", Code: 403, Status: "PERMISSION_DENIED", Reason: "IAM_PERMISSION_DENIED"}, "no (403 PERMISSION_DENIED IAM_PERMISSION_DENIED)"},
		{Error{Message: "no", Code: 400, Status: "FAILED_PRECONDITION", Constraint: "constraints/c"}, "no (400 FAILED_PRECONDITION constraints/c)"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestHintsAreFoundEverywhereOnce(t *testing.T) {
	t.Parallel()
	inner := WithHint(errors.New("a"), "one", "two")
	err := WithHint(errors.Join(fmt.Errorf("b: %w", inner), inner, WithHint(errors.New("c"), "three")), "zero")
	if got, want := Hints(err), []string{"zero", "one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if WithHint(nil, "x") != nil || Hints(nil) != nil {
		t.Error("no error has no hints")
	}
}

func TestEveryKindHasAName(t *testing.T) {
	t.Parallel()
	for k := Other; k <= NotReady; k++ {
		if k.String() == "" || k.String() == fmt.Sprintf("kind %d", int(k)) {
			t.Errorf("kind %d has no name", int(k))
		}
	}
	if got := Kind(99).String(); got != "kind 99" {
		t.Errorf("an unknown kind is %q", got)
	}
}
