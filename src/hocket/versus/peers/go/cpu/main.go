// Work for the processor beside requests that wait: a password hash, a picture made smaller in plain code.
package main

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"time"

	"versus/serving"
)

const width, height, factor = 1600, 1200, 4

var picture [width * height]byte

func hash(w http.ResponseWriter, r *http.Request) {
	key, err := pbkdf2.Key(sha256.New, "correct horse battery staple", []byte("salt"), 100_000, 32)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(w, "%x", key)
}

// resize takes the mean of each square of pixels.
func resize(w http.ResponseWriter, r *http.Request) {
	smaller := make([]byte, 0, len(picture)/factor/factor)
	for y := 0; y < height; y += factor {
		for x := 0; x < width; x += factor {
			sum := 0
			for dy := range factor {
				for dx := range factor {
					sum += int(picture[(y+dy)*width+x+dx])
				}
			}
			smaller = append(smaller, byte(sum/factor/factor))
		}
	}
	fmt.Fprintf(w, "%d pixels", len(smaller))
}

func wait(w http.ResponseWriter, r *http.Request) {
	time.Sleep(5 * time.Millisecond)
	io.WriteString(w, "waited")
}

func main() {
	http.HandleFunc("GET /hash", hash)
	http.HandleFunc("GET /resize", resize)
	http.HandleFunc("GET /wait", wait)
	panic(http.Serve(serving.Listen("cpu"), nil))
}
