package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// call [-as FILE] METHOD HOST/PATH [BODY] makes one call at the emulator, as whose token
// is in FILE and else as the operator, and prints the code and the answer. It ends with 1
// unless the code is 2xx: somebody who has other tools than taskiam.
func call() {
	as := flag.String("as", os.Getenv("TASKIAM_EMULATOR_TOKEN_FILE"), "the file with the token")
	flag.Parse()
	code, body, err := callOnce(*as, flag.Arg(0), flag.Arg(1), flag.Arg(2))
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	fmt.Println(code, strings.TrimSpace(body))
	if code/100 != 2 {
		os.Exit(1)
	}
}

func callOnce(as, method, target, body string) (code int, answer string, err error) {
	token, err := os.ReadFile(as)
	if err != nil {
		return 0, "", err
	}
	host, path, _ := strings.Cut(target, "/")
	r, err := http.NewRequest(method, "http://"+os.Getenv("TASKIAM_EMULATOR_HOST")+"/"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, string(b), err
}
