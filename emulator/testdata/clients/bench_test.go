package clients_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/storage"
	rest "google.golang.org/api/pubsub/v1"
)

// BenchmarkStorage writes and reads one object of 1 GiB, by gRPC and by REST, with TLS. The emulator is in the same
// process, and holds the object; peak-MB is the most memory that the process had so far.
func BenchmarkStorage(b *testing.B) {
	const size = 1 << 30
	run := func(b *testing.B, o *storage.ObjectHandle) {
		b.SetBytes(2 * size)
		for b.Loop() {
			if err := copyObject(b.Context(), o, size); err != nil {
				b.Fatal(err)
			}
			if err := o.Delete(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(peak(b), "peak-MB")
	}
	b.Run("grpc", func(b *testing.B) { run(b, bucket(b, ways["proxy"](noah)...).Object("grpc")) })
	b.Run("rest", func(b *testing.B) {
		client, err := storage.NewClient(b.Context(), ways["proxy"](noah)...)
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		run(b, client.Bucket("acme-files").Object("rest"))
	})
}

// peak is the most memory that this process had, in megabytes.
func peak(b *testing.B) float64 {
	b.Helper()
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // not on Linux
	}
	for line := range strings.Lines(string(raw)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1000
		}
	}
	return 0
}

// BenchmarkPubSub publishes and receives 10,000 messages, by gRPC and by REST, with TLS.
func BenchmarkPubSub(b *testing.B) {
	const messages = 10000
	b.Run("grpc", func(b *testing.B) {
		client, err := pubsub.NewClient(b.Context(), "acme-data", ways["proxy"](noah)...)
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		p := client.Publisher("news")
		defer p.Stop()
		for b.Loop() {
			for i := range messages {
				p.Publish(b.Context(), &pubsub.Message{Data: fmt.Append(nil, i)})
			}
			ctx, done := context.WithCancel(b.Context())
			var got atomic.Int32
			err := client.Subscriber("reader").Receive(ctx, func(_ context.Context, m *pubsub.Message) {
				m.Ack()
				if got.Add(1) == messages {
					done()
				}
			})
			done()
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("rest", func(b *testing.B) {
		service, err := rest.NewService(b.Context(), ways["proxy"](noah)...)
		if err != nil {
			b.Fatal(err)
		}
		const batch = 1000 // the most that one request takes
		for b.Loop() {
			for i := 0; i < messages; i += batch {
				in := &rest.PublishRequest{}
				for j := range batch {
					in.Messages = append(in.Messages,
						&rest.PubsubMessage{Data: base64.StdEncoding.EncodeToString(fmt.Append(nil, i+j))})
				}
				if _, err := service.Projects.Topics.Publish("projects/acme-data/topics/news", in).Do(); err != nil {
					b.Fatal(err)
				}
			}
			for got := 0; got < messages; {
				const name = "projects/acme-data/subscriptions/reader"
				out, err := service.Projects.Subscriptions.Pull(name, &rest.PullRequest{MaxMessages: batch}).Do()
				if err != nil {
					b.Fatal(err)
				}
				ack := &rest.AcknowledgeRequest{}
				for _, m := range out.ReceivedMessages {
					ack.AckIds = append(ack.AckIds, m.AckId)
				}
				if _, err := service.Projects.Subscriptions.Acknowledge(name, ack).Do(); err != nil {
					b.Fatal(err)
				}
				got += len(out.ReceivedMessages)
			}
		}
		b.ReportMetric(messages*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}
