// Many promises that wait.
const count = Number(process.argv[2]);
let finish;
const forever = new Promise((resolve) => (finish = resolve));

async function task() {
  await forever;
}

globalThis.tasks = Array.from({ length: count }, task);
console.log(`${count} wait`);
process.stdin.on("end", finish).resume();
