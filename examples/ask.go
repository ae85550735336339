// Asks an agent and prints its reply as it arrives. Go 1.19 or newer, nothing to install.
//
//	ALM_KEY=alm_live_… go run ask.go "What can you show me?"
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	log.SetFlags(0)
	url, question := os.Getenv("ALM_URL"), append(os.Args, "Hello")[1]
	if url == "" {
		url = "http://127.0.0.1:2560"
	}
	body, _ := json.Marshal(map[string]any{"messages": []any{map[string]string{"role": "user", "content": question}}})
	request, err := http.NewRequest("POST", url+"/api/v1/chat", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+os.Getenv("ALM_KEY"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		var refused struct{ Error struct{ Message string } }
		json.NewDecoder(response.Body).Decode(&refused)
		log.Fatal(refused.Error.Message)
	}
	// A line may be long: a tool's output is one.
	for lines := bufio.NewReader(response.Body); err != io.EOF; {
		var line string
		if line, err = lines.ReadString('\n'); err != nil && err != io.EOF {
			log.Fatal(err)
		}
		var chunk struct{ Type, Delta, ErrorText string }
		if !strings.HasPrefix(line, "data: {") || json.Unmarshal([]byte(line[len("data: "):]), &chunk) != nil {
			continue
		}
		switch chunk.Type {
		case "text-delta":
			fmt.Print(chunk.Delta)
		case "error":
			log.Fatal(chunk.ErrorText)
		}
	}
	fmt.Println()
}
