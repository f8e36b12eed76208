package view

import (
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskiam/taskiam/internal/lifecycle"
)

// TestProgressSpeaksOfWhatTakesLong: steps of a round trip are not worth a line. Of a wait it says for what, how long
// that usually takes and how long at most; and it says so again, ever more rarely.
func TestProgressSpeaksOfWhatTakesLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		p := NewProgress(NewStream(&b), false)
		event := func(step string, state lifecycle.EventState, err error) {
			p.Step(lifecycle.Event{Time: time.Now(), Step: step, On: "x", State: state, Err: err})
		}
		event("quick", lifecycle.Started, nil)
		event("slow", lifecycle.Started, nil)
		event("waits", lifecycle.Started, nil)
		time.Sleep(slowAfter / 2)
		event("quick", lifecycle.Done, nil)
		event("waits", lifecycle.Waiting, errors.New("not yet"))
		event("waits", lifecycle.Waiting, errors.New("not yet"))
		time.Sleep(slowAfter)
		event("slow", lifecycle.Done, nil)
		event("waits", lifecycle.Failed, errors.New("not yet"))
		time.Sleep(2 * slowAfter)
		said := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := strings.ReplaceAll(b.String(), "taskiam: ", ""); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			b.Reset()
		}
		said("waits on x: waiting: not yet\nslow on x: working\nslow on x: done after 3s\n")

		now := time.Now()
		p.Step(lifecycle.Event{Time: now, Step: "prove", On: "gs://a", State: lifecycle.Started})
		p.Step(lifecycle.Event{
			Time: now, Step: "prove", On: "gs://a", State: lifecycle.Waiting, Err: errors.New("refused"),
			Wait: lifecycle.Wait{For: "Google", Usual: 2 * time.Minute, Until: now.Add(10 * time.Minute)},
		})
		time.Sleep(3 * time.Minute)
		p.Step(lifecycle.Event{Time: time.Now(), Step: "prove", On: "gs://a", State: lifecycle.Done})
		said(`prove on gs://a: waiting for Google (usually 2m, at most 10m more): refused
prove on gs://a: still waiting after 32s (usually 2m, at most 9m28s more)
prove on gs://a: still waiting after 1m32s (usually 2m, at most 8m28s more)
prove on gs://a: done after 3m
`)
		p.Step(lifecycle.Event{Time: time.Now(), Step: "delete", State: lifecycle.Working, Done: 3, All: 10})
		time.Sleep(slowAfter)
		synctest.Wait()
		p.Step(lifecycle.Event{Time: time.Now(), Step: "delete", State: lifecycle.Done})
		said("delete: 3 of 10 are done\ndelete: done after 2s\n")
		p.Retry("reading", "x", 3*time.Second, errors.New("no"))
		said("reading x: trying again in 3s: no\n")

		var silent *Progress
		silent.Step(lifecycle.Event{}) // nobody hears it

		// What must not be missed is said by a quiet one too, and once.
		p.quiet = true
		for _, state := range []lifecycle.EventState{
			lifecycle.Known, lifecycle.Started, lifecycle.Waiting, lifecycle.Working, lifecycle.Warned, lifecycle.Warned, lifecycle.Failed,
		} {
			p.Step(lifecycle.Event{Time: time.Now(), Step: "the clock is wrong", State: state, Err: errors.New("not yet")})
		}
		time.Sleep(time.Minute)
		said("warning: the clock is wrong\n")
	})
}

// glass is a terminal that does what the sequences say which are sent to it. It reflows when it is resized.
type glass struct {
	mu      sync.Mutex
	columns int
	lines   []string // each as long as it was written; shown in as many rows as it needs
	at      int      // the cursor in the last line
	most    int      // the widest that a line rewritten in place ever was
	wrote   int
}

func (g *glass) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.columns
}

func (g *glass) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrote++
	if len(g.lines) == 0 {
		g.lines = []string{""}
	}
	last := func() *string { return &g.lines[len(g.lines)-1] }
	for text := string(p); text != ""; {
		switch {
		case strings.HasPrefix(text, "\r"):
			g.at, text = len(*last())/g.columns*g.columns, text[1:]
			if len(*last()) > 0 && len(*last())%g.columns == 0 {
				g.at -= g.columns
			}
		case strings.HasPrefix(text, "\n"):
			g.lines, g.at, text = append(g.lines, ""), 0, text[1:]
		case strings.HasPrefix(text, eraseRest), strings.HasPrefix(text, eraseDown):
			*last(), text = (*last())[:g.at], text[3:]
		case strings.HasPrefix(text, "\x1b["):
			up := int(text[2] - '0')
			if text[3] != 'A' || g.at < up*g.columns {
				panic("it moves the cursor out of its line: " + text)
			}
			g.at, text = g.at-up*g.columns, text[4:]
		default:
			*last(), text = (*last())[:g.at]+text[:1]+(*last())[min(g.at+1, len(*last())):], text[1:]
			g.at++
			g.most = max(g.most, g.at)
		}
	}
	return len(p), nil
}

func (g *glass) shows() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.lines)
}

// TestTheLineOfATerminal: it says what is waited for and counts, gives way to every other output, fits however narrow
// the terminal is or becomes, and is gone at the end.
func TestTheLineOfATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &glass{columns: 120}
		var ours atomic.Bool
		ours.Store(true)
		out, errs := Streams(g, g, func(io.Writer) Form { return Form{Columns: g.size, Live: ours.Load} })
		p := NewProgress(errs, false)
		begun := time.Now()
		for _, on := range []string{"gs://a", "gs://b"} {
			p.Step(lifecycle.Event{Time: begun, Step: "prove", On: on, State: lifecycle.Started})
			p.Step(lifecycle.Event{
				Time: begun, Step: "prove", On: on, State: lifecycle.Waiting, Err: errors.New("storage.objects.get is refused\x1b[2J"),
				Wait: lifecycle.Wait{For: "Google to apply it", Usual: 2 * time.Minute, Until: begun.Add(10 * time.Minute)},
			})
		}
		shows := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := g.shows(); !slices.Equal(got, want) {
				t.Errorf("it shows\n%q, want\n%q", got, want)
			}
		}
		time.Sleep(65 * time.Second)
		shows("waiting for Google to apply it: gs://a (1m5s, usually 2m, at most 8m55s more, and 1 more step)")
		before := g.wrote
		Say(errs, "something else")
		if err := Tell(out, "a report"); err != nil {
			t.Fatal(err)
		}
		const more = "waiting for Google to apply it: gs://a (1m5s, usually 2m, at most 8m55s more, and 1 more step)"
		shows("taskiam: something else", "a report", more)
		if g.wrote-before > 6 {
			t.Errorf("two lines of output take %d writes", g.wrote-before)
		}

		// The terminal becomes narrow and shows the line in three.
		g.mu.Lock()
		g.columns = 45
		g.mu.Unlock()
		time.Sleep(time.Second)
		shows("taskiam: something else", "a report", "waiting for Google to apply it (1m6s, ...")
		ours.Store(false) // in the background
		time.Sleep(time.Second)
		shows("taskiam: something else", "a report", "")
		ours.Store(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := g.shows(); !strings.HasPrefix(got[2], "waiting") || len(got[2]) > 45-roomBehind {
			t.Errorf("it shows %q", got[2])
		}
		// A command has the terminal meanwhile.
		child := errs.Child()
		shows("taskiam: something else", "a report", "")
		time.Sleep(time.Second)
		_, _ = io.WriteString(child, "what a command says\n")
		time.Sleep(time.Second)
		shows("taskiam: something else", "a report", "what a command says", "")
		errs.Back()
		p.Step(lifecycle.Event{Time: time.Now(), Step: "prove", On: "gs://a", State: lifecycle.Done})
		p.Step(lifecycle.Event{Time: time.Now(), Step: "prove", On: "gs://b", State: lifecycle.Failed})
		p.Retry("reading", "x", 3*time.Second, errors.New("no"))
		time.Sleep(time.Second)
		shows("taskiam: something else", "a report", "what a command says", "reading x (again in 2s): no")
		time.Sleep(3 * time.Second)
		shows("taskiam: something else", "a report", "what a command says", "")

		// A process that ends in the middle of a wait leaves nothing.
		p.Step(lifecycle.Event{Time: time.Now(), Step: "slow", State: lifecycle.Started})
		time.Sleep(2 * time.Second)
		shows("taskiam: something else", "a report", "what a command says", "slow (2s)")
		if err := errs.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		shows("taskiam: something else", "a report", "what a command says", "")
		p.Step(lifecycle.Event{Time: time.Now(), Step: "slow", State: lifecycle.Failed})
	})
}
