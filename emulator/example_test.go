package emulator_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/api/storage/v1"

	"github.com/taskiam/taskiam/emulator"
)

// A company in which a service account may read a bucket, and nothing else.
const shop = `
[operator]
member = "user:admin@shop.example"
[[project]]
id = "shop"
number = "1"
[[service_account]]
project = "shop"
id = "reporter"
token = "the-reporter"
[[bucket]]
project = "shop"
name = "reports"
[[bucket.binding]]
role = "roles/storage.objectViewer"
members = ["serviceAccount:reporter@shop.iam.gserviceaccount.com"]
`

// In a test, emulatortest.Start takes the place of New and Close.
func Example() {
	srv, err := emulator.New(emulator.Config{Seed: []byte(shop)})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	service, err := storage.NewService(context.Background(), srv.ClientOptions("the-reporter")...)
	if err != nil {
		log.Fatal(err)
	}
	_, err = service.Objects.List("reports").Do()
	fmt.Println("reads:", err == nil)
	err = service.Objects.Delete("reports", "january.csv").Do()
	fmt.Println("deletes:", err == nil)
	// Output:
	// reads: true
	// deletes: false
}
