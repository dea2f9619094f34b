// The program health asks the code that GitOps tools judge a resource with. It reads one JSON request a line from
// standard input, and writes one JSON reply a line to standard output, in the same order.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apijson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// Request is a question to one judge about one object.
type Request struct {
	// Judge is one of health, actions, run (Argo CD), kstatus, cel and manifest (Flux).
	Judge string `json:"judge"`
	// Script is the Lua code of Argo CD's judges.
	Script string `json:"script"`
	// Expressions are those of the judge cel.
	Expressions kustomize.HealthCheckExpressions `json:"expressions"`
	// Object is the resource as the API server stores it, or a string with its YAML.
	Object json.RawMessage `json:"object"`
}

// Reply is what the judge says. A judge that fails gives only an error.
type Reply struct {
	Status  string          `json:"status,omitempty"`
	Message string          `json:"message,omitempty"`
	Actions map[string]bool `json:"actions,omitempty"`
	Patch   json.RawMessage `json:"patch,omitempty"`
	Object  json.RawMessage `json:"object,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(requests io.Reader, replies io.Writer) error {
	in, out := bufio.NewReader(requests), json.NewEncoder(replies)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			reply, failure := answer(line)
			if failure != nil {
				reply = Reply{Error: failure.Error()}
			}
			if err := out.Encode(reply); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func answer(line []byte) (Reply, error) {
	var request Request
	if err := json.Unmarshal(line, &request); err != nil {
		return Reply{}, fmt.Errorf("the request is not valid: %w", err)
	}
	text, err := toJSON(request.Object)
	if err != nil {
		return Reply{}, fmt.Errorf("the object is not valid: %w", err)
	}
	// Whole numbers become int64, as clients of the API server read them. kstatus knows no other number.
	var fields map[string]any
	if err := apijson.Unmarshal(text, &fields); err != nil {
		return Reply{}, fmt.Errorf("the object is not valid: %w", err)
	}
	object := &unstructured.Unstructured{Object: fields}
	switch request.Judge {
	case "health":
		return luaHealth(request.Script, object)
	case "actions":
		return luaActions(request.Script, object)
	case "run":
		return luaRun(request.Script, object)
	case "kstatus":
		return kstatus(object)
	case "cel":
		return cel(&request.Expressions, object)
	case "manifest":
		return manifest(object.GetKind(), text)
	}
	return Reply{}, fmt.Errorf("there is no judge %q", request.Judge)
}

// toJSON returns the JSON of an object that is given as JSON, or as a string with YAML.
func toJSON(object json.RawMessage) ([]byte, error) {
	var text string
	if json.Unmarshal(object, &text) != nil {
		return object, nil
	}
	return yaml.YAMLToJSONStrict([]byte(text))
}
