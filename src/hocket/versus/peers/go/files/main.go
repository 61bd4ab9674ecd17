// Files: one comes in and goes to disk, one comes from disk and goes out, both as streams.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"versus/serving"
)

func upload(w http.ResponseWriter, r *http.Request) {
	file, err := os.CreateTemp("", "upload-")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer os.Remove(file.Name())
	defer file.Close()
	size, err := io.Copy(file, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d bytes", size)
}

func main() {
	path := serving.Arg(2, "")
	http.HandleFunc("POST /upload", upload)
	http.HandleFunc("GET /download", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, path)
	})
	panic(http.Serve(serving.Listen("files"), nil))
}
