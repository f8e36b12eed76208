package grpcapi

import (
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
