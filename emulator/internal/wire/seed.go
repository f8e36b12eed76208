package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/internal/fault"
)

// Seeding fills an empty state with what a seed describes.
type Seeding struct {
	*State
	Now time.Time
	// Serves reports whether a service has a method for a request of its own.
	Serves func(host, verb, path string) bool

	later []func() error
}

// Later runs f when all tables have been read: the policies of what one table makes may
// name accounts that another makes.
func (s *Seeding) Later(f func() error) { s.later = append(s.later, f) }

// SeedBinding is one binding of the policy of the resource whose table it is in.
type SeedBinding struct {
	Role      string         `toml:"role"`
	Members   []string       `toml:"members"`
	Condition *SeedCondition `toml:"condition"`
}

// SeedCondition is the condition of a binding.
type SeedCondition struct {
	Title       string `toml:"title"`
	Description string `toml:"description"`
	Expression  string `toml:"expression"`
}

// Policy adds the bindings of a seed to those of p.
func (s *Seeding) Policy(p *iam.Policy, bindings []SeedBinding, o iam.WriteOptions) error {
	if len(bindings) == 0 {
		return nil
	}
	w := iam.PolicyJSON{Version: 3, Bindings: p.Bindings}
	for _, in := range bindings {
		b := iam.Binding{Role: in.Role, Members: in.Members}
		if in.Condition != nil {
			b.Condition = &iam.Condition{Title: in.Condition.Title, Description: in.Condition.Description,
				Expression: in.Condition.Expression}
		}
		w.Bindings = append(w.Bindings, b)
	}
	return p.Write(&s.Company, s.Now, w, o)
}

// seed fills the state from TOML. Each service reads its own tables of the document.
func (s *Server) seed(data []byte) error {
	var own struct {
		Doubts iam.Doubts `toml:"doubts"`
	}
	tables := []any{&own}
	var fills []func(*Seeding) error
	for _, sv := range s.state.services {
		if sv.Seed != nil {
			t, fill := sv.Seed()
			tables, fills = append(tables, t), append(fills, fill)
		}
	}
	if err := decodeSeed(data, tables); err != nil {
		return fault.New(fault.Usage, "reading the seed: %w", err)
	}
	s.state.Doubts = own.Doubts
	sd := &Seeding{State: s.state, Now: s.Now(), Serves: func(host, verb, path string) bool {
		m, _ := s.Router.Find(host, verb, path)
		return m != nil && !m.CatchAll()
	}}
	for _, fill := range fills {
		if err := fill(sd); err != nil {
			return fault.New(fault.Usage, "seeding the emulator: %w", err)
		}
	}
	for _, f := range sd.later {
		if err := f(); err != nil {
			return fault.New(fault.Usage, "seeding the emulator: %w", err)
		}
	}
	return nil
}

// decodeSeed reads TOML strictly into all of the given structs at once: a key that none
// of them has is an error with its line.
func decodeSeed(data []byte, tables []any) error {
	var fields []reflect.StructField
	var into []reflect.Value
	for _, t := range tables {
		v := reflect.ValueOf(t).Elem()
		for i := range v.NumField() {
			f := v.Type().Field(i)
			fields = append(fields, reflect.StructField{Name: fmt.Sprintf("Table%d", len(fields)), Type: f.Type,
				Tag: f.Tag})
			into = append(into, v.Field(i))
		}
	}
	document := reflect.New(reflect.StructOf(fields))
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(document.Interface()); err != nil {
		return atLines(err)
	}
	for i, v := range into {
		v.Set(document.Elem().Field(i))
	}
	return nil
}

// atLines says where in the document each part of an error is.
func atLines(err error) error {
	var at []error
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		for _, e := range strict.Errors {
			row, column := e.Position()
			at = append(at, fmt.Errorf("%d:%d: unknown key %s", row, column, strings.Join(e.Key(), ".")))
		}
		return errors.Join(at...)
	}
	if e, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, column := e.Position()
		return fmt.Errorf("%d:%d: %w", row, column, err)
	}
	return err
}
