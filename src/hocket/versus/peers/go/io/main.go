// A handler that asks the database and another service, and answers with both.
package main

import (
	"encoding/json"
	"io"
	"net/http"

	"versus/serving"

	"github.com/redis/go-redis/v9"
)

var (
	backend  = "127.0.0.1:" + serving.Arg(2, "0")
	database = redis.NewClient(&redis.Options{Addr: backend, Protocol: 2, DisableIdentity: true, PoolSize: 256})
	client   = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
)

func profile(w http.ResponseWriter, r *http.Request) {
	user, err := database.Get(r.Context(), "user:1234567").Bytes()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	request, _ := http.NewRequestWithContext(r.Context(), "GET", "http://"+backend+"/wait", nil)
	response, err := client.Do(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	status, err := io.ReadAll(response.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]json.RawMessage{"user": user, "status": status})
}

func main() {
	http.HandleFunc("GET /", profile)
	panic(http.Serve(serving.Listen("io"), nil))
}
