// A page.
package main

import (
	"io"
	"net/http"

	"versus/serving"
)

func main() {
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello from Go!")
	})
	panic(http.Serve(serving.Listen("hello"), nil))
}
