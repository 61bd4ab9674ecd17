// Many goroutines that wait.
package main

import (
	"fmt"
	"strconv"
	"sync"

	"versus/serving"
)

func main() {
	count, err := strconv.Atoi(serving.Arg(1, "0"))
	if err != nil {
		panic(err)
	}
	var started sync.WaitGroup
	forever := make(chan struct{})
	for range count {
		started.Add(1)
		go func() {
			started.Done()
			<-forever
		}()
	}
	started.Wait()
	fmt.Println(count, "wait")
	fmt.Scanln()
}
