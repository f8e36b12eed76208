// Command descriptors writes the protocol buffer descriptors of the services that the emulator has over gRPC, and of
// all that they import, to the file that it is given. It takes them from Google's own clients.
package main

import (
	"compress/gzip"
	"fmt"
	"os"

	_ "cloud.google.com/go/iam/admin/apiv1/adminpb"
	_ "cloud.google.com/go/iam/apiv1/iampb"
	_ "cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	_ "cloud.google.com/go/kms/apiv1/kmspb"
	_ "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	_ "cloud.google.com/go/resourcemanager/apiv3/resourcemanagerpb"
	_ "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	_ "cloud.google.com/go/storage"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// services are those whose methods the emulator knows.
var services = []protoreflect.FullName{
	"google.cloud.kms.v1.KeyManagementService",
	"google.cloud.resourcemanager.v3.Folders",
	"google.cloud.resourcemanager.v3.Organizations",
	"google.cloud.resourcemanager.v3.Projects",
	"google.cloud.secretmanager.v1.SecretManagerService",
	"google.iam.admin.v1.IAM",
	"google.iam.credentials.v1.IAMCredentials",
	"google.iam.v1.IAMPolicy",
	"google.pubsub.v1.Publisher",
	"google.pubsub.v1.Subscriber",
	"google.storage.v2.Storage",
}

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(path string) error {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) { // what a file imports comes before it
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	for _, name := range services {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			return fmt.Errorf("looking for %s: %w", name, err)
		}
		add(d.ParentFile())
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return fmt.Errorf("encoding the descriptors: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(raw); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return f.Close()
}
