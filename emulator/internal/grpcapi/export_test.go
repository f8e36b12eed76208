package grpcapi

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// FromJSON and ToJSON are for tests that say in JSON what a client sends.
var (
	FromJSON = fromJSON
	ToJSON   = toJSON
)

// Messages returns an empty request and an empty answer of a method.
func Messages(name string) (in, out proto.Message, err error) {
	a, err := known()
	if err != nil {
		return nil, nil, err
	}
	d := a.methods[name].descriptor
	return dynamicpb.NewMessage(d.Input()), dynamicpb.NewMessage(d.Output()), nil
}

// Names returns the names of all methods, in order.
func Names() ([]string, error) {
	a, err := known()
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(a.methods)), nil
}

// Fit puts a name into each field of a request that stands in the path of its REST request: of each collection that of
// ids, or x.
func Fit(name string, in proto.Message, ids map[string]string) error {
	a, err := known()
	if err != nil || len(a.methods[name].bindings) == 0 {
		return err
	}
	for _, p := range a.methods[name].bindings[0].parts {
		if p.field == nil {
			continue
		}
		var words []string
		for i, word := range p.pattern {
			if strings.HasPrefix(word, "*") {
				word = "x"
				if i > 0 && ids[p.pattern[i-1]] != "" {
					word = ids[p.pattern[i-1]]
				}
			}
			words = append(words, word)
		}
		m := in.ProtoReflect()
		last := len(p.field) - 1
		for _, f := range p.field[:last] {
			m = m.Mutable(f).Message()
		}
		m.Set(p.field[last], protoreflect.ValueOfString(strings.Join(words, "/")))
	}
	return nil
}

// MaskAll makes the mask of a request *, which no JSON says.
func MaskAll(in proto.Message) {
	m := in.ProtoReflect()
	mask := m.Mutable(m.Descriptor().Fields().ByName("read_mask")).Message()
	mask.Mutable(mask.Descriptor().Fields().ByName("paths")).List().Set(0, protoreflect.ValueOfString("*"))
}

// Targets returns what each rule of a method makes of a request: verb and target, and the body.
func Targets(name, in string) ([]string, error) {
	a, err := known()
	if err != nil {
		return nil, err
	}
	m := a.methods[name]
	message := dynamicpb.NewMessage(m.descriptor.Input())
	if err := fromJSON([]byte(in), message); err != nil {
		return nil, err
	}
	var out []string
	for _, b := range m.bindings {
		target, body, ok, err := b.request(message)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, b.verb+" "+target+" "+string(body))
		}
	}
	return out, nil
}
