// A Go program that carries alm inside: starts it, learns where it is from one line, asks, and takes it along when it goes.
//
//	ALM=./alm go run main.go "What can you do?"
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

type ready struct{ Alm, Message, URL, Org, Key string }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	args := append(os.Args, "Hello")
	// Its standard input is a pipe of ours. When we are gone, however that came, the pipe ends, and alm drains and goes as well.
	alm := exec.Command(os.Getenv("ALM"), "serve", "--sidecar", "--data-dir", "data", "--provision", "-")
	alm.Stderr = os.Stderr
	stdin, stdout := must(alm.StdinPipe()), must(alm.StdoutPipe())
	must(0, alm.Start())
	// What there should be: an organization, and a key that is made anew at each start.
	fmt.Fprintln(stdin, `{"org":"acme","key":{"name":"app"}}`)
	var said ready
	must(0, json.NewDecoder(stdout).Decode(&said))
	if said.Alm != "ready" {
		log.Fatal(said.Message)
	}
	ask(said, args[1])
	stdin.Close()
	must(0, alm.Wait())
}

// Asks the built-in agent, and shows the answer as it comes.
func ask(at ready, question string) {
	body := must(json.Marshal(map[string]any{"messages": []any{map[string]string{"role": "user", "content": question}}}))
	request := must(http.NewRequest("POST", at.URL+"/api/v1/chat", strings.NewReader(string(body))))
	request.Header.Set("Authorization", "Bearer "+at.Key)
	request.Header.Set("X-Alumia-Org", at.Org)
	request.Header.Set("Content-Type", "application/json")
	response := must(http.DefaultClient.Do(request))
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		var chunk struct{ Type, Delta, ErrorText string }
		if json.Unmarshal([]byte(strings.TrimPrefix(lines.Text(), "data: ")), &chunk) == nil {
			fmt.Print(chunk.Delta, chunk.ErrorText)
		}
	}
	fmt.Println()
}
