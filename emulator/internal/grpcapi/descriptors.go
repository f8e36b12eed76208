package grpcapi

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"sync"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// descriptors are the services, their messages, and all that these import, as Google's clients have them. The command
// that makes the file is in emulator/testdata/clients/descriptors.
//
//go:embed descriptors.binpb.gz
var descriptors []byte

// method is a method of a service.
type method struct {
	descriptor protoreflect.MethodDescriptor
	host       string // that serves it; "" for one that several services have
	bindings   []binding
}

// apis are all methods, and the types of their messages.
type apis struct {
	methods map[string]*method // "google.pubsub.v1.Publisher/Publish"
	files   *protoregistry.Files
	types   *dynamicpb.Types
}

// known is what the descriptors say. They are read at the first call.
var known = sync.OnceValues(func() (*apis, error) {
	a, err := readDescriptors(descriptors)
	if err != nil {
		return nil, fmt.Errorf("reading the descriptors of gRPC services: %w", err)
	}
	return a, nil
})

func readDescriptors(zipped []byte) (*apis, error) {
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		return nil, err
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, err
	}
	a := &apis{methods: map[string]*method{}, files: files, types: dynamicpb.NewTypes(files)}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			if err = a.addService(f.Services().Get(i)); err != nil {
				return false
			}
		}
		return true
	})
	return a, err
}

// anyHost is the service that every API has at its own host.
const anyHost = "google.iam.v1.IAMPolicy"

func (a *apis) addService(s protoreflect.ServiceDescriptor) error {
	host := ""
	if s.FullName() != anyHost {
		host, _ = proto.GetExtension(s.Options(), annotations.E_DefaultHost).(string)
	}
	for i := range s.Methods().Len() {
		d := s.Methods().Get(i)
		m := &method{descriptor: d, host: host}
		if rule, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule); rule != nil {
			for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
				b, err := newBinding(d.Input(), r)
				if err != nil {
					return fmt.Errorf("%s: %w", d.FullName(), err)
				}
				m.bindings = append(m.bindings, b)
			}
		}
		// The annotation of this one is POST; the APIs that have no method of their own for it take GET as well.
		if s.FullName() == anyHost && d.Name() == "GetIamPolicy" {
			b := m.bindings[0]
			b.verb, b.body = http.MethodGet, ""
			m.bindings = append(m.bindings, b)
		}
		a.methods[string(s.FullName())+"/"+string(d.Name())] = m
	}
	return nil
}

// fromJSON reads JSON into a message. Fields that the message does not have are left out, as clients of REST do.
func fromJSON(raw []byte, m proto.Message) error {
	a, err := known()
	if err != nil {
		return err
	}
	if len(raw) == 0 {
		return nil
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true, Resolver: a.types}.Unmarshal(raw, m)
}

// toJSON writes a message as JSON.
func toJSON(m proto.Message) ([]byte, error) {
	a, err := known()
	if err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{Resolver: a.types}.Marshal(m)
}
