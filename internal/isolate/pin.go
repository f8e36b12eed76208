package isolate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/taskiam/taskiam/internal/fault"
)

// Pinned is a path that a sandbox shows, and what was there when it was checked.
type Pinned struct{ Path, Identity string }

// Pin notes what is at the paths that are to be checked. Bubblewrap, which may start minutes later, knows paths only.
// Meanwhile another command, whose sandbox contains one of them, can put another folder or a link in its place. So
// the first process in the sandbox looks again, and starts nothing if it sees another file or folder there.
func (s *Spec) Pin() error {
	s.pins = nil
	var all []string
	for _, o := range s.own() {
		all = append(all, o.path)
	}
	for _, path := range s.Fixed {
		all = append(all, s.above(path)...)
		if s.writable(path) != "" {
			all = append(all, path)
		}
	}
	return s.pin(all...)
}

// PinDelivery is [Spec.Pin] for the delivery, which is made later.
func (s *Spec) PinDelivery() error { return s.pin(s.Delivery) }

func (s *Spec) pin(paths ...string) error {
	for _, path := range paths {
		if slices.ContainsFunc(s.pins, func(p Pinned) bool { return p.Path == path }) {
			continue
		}
		id, err := identity(path)
		if err != nil {
			return fault.New(fault.Usage, "looking at what the sandbox shows: %w", err)
		}
		s.pins = append(s.pins, Pinned{path, id})
	}
	return nil
}

// argument is how the first process is told.
func (p Pinned) argument() string { return p.Identity + "=" + p.Path }

func parsePin(text string) (Pinned, error) {
	id, path, ok := strings.Cut(text, "=")
	if !ok || !strings.HasPrefix(path, "/") {
		return Pinned{}, fmt.Errorf("--pin is IDENTITY=PATH, not %q", text)
	}
	return Pinned{path, id}, nil
}

// check returns an error unless the path has what it had.
func (p Pinned) check() error {
	id, err := identity(p.Path)
	if err == nil && id != p.Identity {
		err = fmt.Errorf("%s is another file or folder than the one that was checked", p.Path)
	}
	if err != nil {
		return fmt.Errorf("%s was changed while the sandbox was being made: %w", p.Path, err)
	}
	return nil
}
