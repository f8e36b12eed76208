// Command gostorage reads an object for each BUCKET/NAME that it is given in a line, with
// cloud.google.com/go/storage and application default credentials. It answers in a line:
// 200 and the text, or why not.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"cloud.google.com/go/storage"
)

func main() {
	ctx := context.Background()
	client, err := storage.NewClient(ctx)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		answer := "failed: "
		if err != nil {
			answer += err.Error()
		} else if text, err := read(ctx, client, lines.Text()); err != nil {
			answer += err.Error()
		} else {
			answer = "200 " + text
		}
		fmt.Println(strings.Join(strings.Fields(answer), " "))
	}
}

func read(ctx context.Context, client *storage.Client, object string) (string, error) {
	bucket, name, _ := strings.Cut(object, "/")
	r, err := client.Bucket(bucket).Object(name).NewReader(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}
