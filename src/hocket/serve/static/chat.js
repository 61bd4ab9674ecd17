import { Api } from './api.js';
import { Inbox } from './inbox.js';
import { $, badge, button, el, saved, write } from './page.js';
import { Push } from './push.js';
import { Client, Lost } from './socket.js';
import { Wishes } from './wishes.js';

const KEPT = 500, SHOWN = 200, LONGEST = 2000, GROUP = 300e3, TYPING_FOR = 4000, TYPING_EVERY = 2000;
const forever = saved('localStorage'), thisTab = saved('sessionStorage');
const log = $('messages'), text = $('text'), mouse = matchMedia('(hover: hover)');
const client = new Client('/socket.io/'), rooms = new Map();
let current, me = '', wanted = '', token = '', inside = false, busy = false, asking = false, goal = '', busyRooms = [], following = true, height;

const api = new Api(), push = new Push(api), inbox = new Inbox(api, say), wishes = new Wishes(api, push);

function say(words) {
	write('toast', words);
	clearTimeout(say.timer);
	say.timer = setTimeout(say, 5000, '');
}

/** Give an element the first letter and the colour of a name. */
function wear(node, name) {
	let hash = 7;
	for (const letter of name) hash = (hash * 31 + letter.codePointAt()) >>> 0;
	node.style.setProperty('--hue', hash % 18 * 20);
	node.dataset.initial = [...name.toUpperCase()][0] ?? '';
	return node;
}

/* Painting: paint() shows what is known, touching only what differs. */

const soon = () => { soon.timer ??= setTimeout(paint, 16); };

function fill(parent, nodes) {
	const keep = new Set(nodes);
	for (const node of [...parent.childNodes]) if (!keep.has(node)) node.remove();
	let at = parent.firstChild;
	for (const node of nodes) if (node === at) at = at.nextSibling; else parent.insertBefore(node, at);
}

function paint() {
	clearTimeout(soon.timer);
	soon.timer = null;
	let unread = 0;
	fill($('rooms'), [...rooms.values()].map(room => {
		const { opener } = room;
		unread += room.unread;
		badge(opener.lastChild, room.unread);
		opener.classList.toggle('unread', room.unread > 0);
		opener.ariaCurrent = room === current;
		return room.item;
	}));
	badge($('elsewhere'), unread - (current?.unread ?? 0));
	document.title = (unread ? `(${unread}) ` : '') + (inside && current ? current.name + ' · ' : '') + 'Hocket';
	write('title', current ? '# ' + current.name : 'Hocket');
	$('composer').hidden = !current;
	text.placeholder = 'Message #' + current?.name;
	paintLog();
	paintPeople();
	paintTyping();
}

function paintLog() {
	const nodes = [], rule = (key, kind, words) => {
		nodes.push(current.rules[key] ??= el('div', { className: 'rule ' + kind }));
		write(current.rules[key], words);
	};
	let last, day;
	for (const message of [...current?.messages ?? [], ...current?.pending ?? []]) {
		const date = new Date(message.at).toDateString(), before = nodes.length;
		if (date !== day) rule(day = date, '', dayName(message.at));
		if (message.gap) rule('gap' + message.id, '', 'Some messages may be missing here');
		if (message.id && message.id === current.mark) rule('new', 'new', 'New');
		nodes.push(message.node ??= build(message));
		message.node.classList.toggle('first', nodes.length - before > 1 || last?.user !== message.user || message.at - last.at > GROUP);
		last = message;
	}
	fill(log, nodes);
	stick();
	const missed = current?.missed;
	$('newer').hidden = following || !missed;
	write('newer', missed > 1 ? `${missed} new messages ↓` : '1 new message ↓');
	$('empty').hidden = nodes.length;
	write($('empty').lastChild, !current ? 'Add a room to start talking.'
		: current.joined ? 'Nothing here yet. Say hello, or share the address of this page.' : `Joining #${current.name}…`);
}

function stick() { if (following) log.scrollTop = log.scrollHeight; }

function dayName(at) {
	const ago = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 864e5);
	return ['Today', 'Yesterday'][ago] ?? new Date(at).toLocaleDateString([], { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
}

function build(message) {
	const parts = message.text.split(/(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]])/);
	const words = el('p', { className: 'text' }, ...parts.map((part, n) => n % 2 ? el('a', { href: part, target: '_blank', rel: 'noreferrer' }, part) : part));
	message.node = wear(el('div', {}, el('div', { className: 'meta' }, el('span', { className: 'user' }, message.user), el('time')),
		el('div', { className: 'row' }, words)), message.user);
	dress(message);
	return message.node;
}

/** Show what may change: the time, and whether it has arrived. */
function dress(message) {
	const { node, id, own, error } = message, date = new Date(message.at), time = node?.querySelector('time');
	if (!node) return;
	node.className = 'message' + (own ? ' own' : '') + (error ? ' failed' : id ? '' : ' pending') + (node.classList.contains('first') ? ' first' : '');
	node.dataset.id = id ?? '';
	write(time, date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
	time.dateTime = date.toISOString();
	node.title = date.toLocaleString();
	node.querySelector('.note, .problem')?.remove();
	if (error) {
		node.append(el('p', { className: 'problem' }, 'Not sent: ' + error, button('Try again', () => { message.error = ''; dress(message); send(message.room); }),
			button('Delete', () => { drop(message); text.focus(); })));
	} else if (!id) node.lastChild.append(el('span', { className: 'note' }, 'sending…'));
}

function drop(line) {
	line.room.pending.splice(line.room.pending.indexOf(line), 1);
	soon();
}

function paintPeople() {
	write('count', current?.joined ? current.count + ' here' : '');
	if (paintPeople.shown === current?.crowd) return; // a new object whenever the crowd changed
	paintPeople.shown = current?.crowd;
	const names = [...current?.members ?? []];
	if (names.length < 2000) names.sort((a, b) => (b === me) - (a === me) || a.localeCompare(b));
	fill($('members'), names.slice(0, SHOWN).map(name => wear(el('li', { className: name === me ? 'me' : '' }, name), name)));
	write('more', current?.count > SHOWN ? `and ${current.count - SHOWN} more` : '');
}

function paintTyping() {
	const now = Date.now(), line = $('typing'), names = [];
	for (const [name, until] of current?.typing ?? []) if (until > now) names.push(name);
	const words = names.length > 3 ? 'Several people are typing…' : names.join(', ').replace(/, ([^,]*)$/, ' and $1')
		+ ['', ' is typing…', ' are typing…'][Math.min(names.length, 2)];
	clearTimeout(paintTyping.timer);
	if (words) paintTyping.timer = setTimeout(soon, 1000);
	if (line.textContent === words) return;
	line.ariaLive = now - paintTyping.spoke < 20000 ? 'off' : 'polite'; // a reader need not hear every pause of everybody
	if (line.ariaLive === 'polite') paintTyping.spoke = now;
	line.textContent = words;
}

/* The connection */

function paintState() {
	const { status } = client, state = $('state'), wait = Math.ceil((client.retryAt - Date.now()) / 1000);
	const [name, words] = client.connected ? ['connected', 'Connected'] : status === 'closed' ? ['offline', client.reason || 'Not connected']
		: navigator.onLine ? ['connecting', inside ? 'Reconnecting' : 'Connecting'] : ['offline', 'Offline'];
	state.dataset.state = name;
	write(state.firstChild, words);
	write(state.lastChild, name === 'connecting' && wait > 0 ? ` in ${wait} s` : ''); // to be seen, not heard every second
	$('retry').hidden = /^connect/.test(status);
	if (busy && status === 'waiting') write('problem', 'No connection yet. Trying again…');
	clearTimeout(paintState.timer);
	if (status === 'waiting') paintState.timer = setTimeout(paintState, 500);
}

client.onstatus = () => {
	if (!client.connected) for (const room of rooms.values()) room.joined = false;
	paintState();
	soon();
};
$('retry').onclick = () => { client.open(); text.focus(); };
client.auth = () => token ? { token } : { name: wanted || me };

client.onrefused = (message, data) => {
	const about = /^token/.test(data?.code);
	if (inside && !about) return true; // full or restarting, say: the next try may do
	if (about) {
		if (!token) message = 'This server asks for a token.';
		token = '';
		asking = true;
	}
	show(true);
	complain(message, about ? $('token') : $('name'));
};

client.on('notification', item => inbox.arrived(item));
client.on('inbox', event => inbox.marked(event));

client.on('welcome', async ({ user, rooms: names, inbox: has }) => {
	if (user !== me && wanted && user !== wanted && !token) say(`You appear as ${user}`);
	if (user !== me) closePanels(); // a cookie may name somebody else by now
	me = user;
	write(wear($('self'), me), me);
	busyRooms = names ?? [];
	api.token = token;
	if (has) inbox.open();
	if (goal && !rooms.has(goal)) addRoom(goal);
	await Promise.all([...rooms.values()].map(join));
	const room = rooms.get(goal);
	if (!room?.joined) return;
	inside = true;
	goal = '';
	complain('');
	show(false);
	go(room);
});

/* Coming in */

function complain(words, field, waiting = false) {
	write('problem', words);
	for (const id of ['name', 'token', 'room']) $(id).ariaInvalid = $(id) === field;
	field?.focus();
	busy = $('enter').ariaBusy = waiting;
}

function show(entry) {
	$('entry').hidden = !entry;
	$('app').hidden = entry;
	$('name').parentNode.hidden = token || asking;
	$('token').parentNode.hidden = !asking;
	if (entry) $(token ? 'room' : 'name').select();
}

const roomName = input => input.value.trim().replace(/^#+\s*/, '');

function enter() {
	goal = roomName($('room'));
	if (!goal) return complain('Which room would you like to join?', $('room'));
	wanted = $('name').value.trim();
	token = $('token').value.trim() || token;
	forever.set('name', wanted);
	complain('', null, true);
	client.open();
}
$('entry').firstElementChild.onsubmit = event => { event.preventDefault(); if (!busy) enter(); };

/** What is a user's own goes with the user. */
function closePanels() {
	inbox.close();
	wishes.close();
}

$('switch').onclick = () => {
	drawer();
	client.close();
	push.turnOff().catch(() => {}); // the next user of this browser is not to see what is this one's
	closePanels();
	if (current) $('room').value = current.name;
	rooms.clear();
	inside = asking = false;
	$('token').value = token = '';
	go();
	show(true);
};

/* Rooms */

function addRoom(name) {
	const room = { name, messages: [], ids: new Map(), pending: [], early: [], rules: {}, members: new Set(), count: 0, typing: new Map(),
		unread: 0, missed: 0, mark: '', draft: '', typed: 0, joined: false, sending: false };
	room.opener = button(el('span', {}, name), () => { drawer(); go(room); });
	room.opener.dataset.room = name;
	room.opener.append(el('span', { className: 'badge' }));
	room.item = el('li', {}, room.opener, button('×', () => leave(room), { className: 'icon leave', ariaLabel: 'Leave ' + name, title: 'Leave' }));
	rooms.set(name, room);
	return room;
}

async function join(room) {
	room.joined = false;
	room.early = [];
	const answer = await client.call('join', { room: room.name }).catch(problem => { if (!(problem instanceof Lost)) client.drop(); });
	if (!answer || rooms.get(room.name) !== room) return; // left, or lost: the next welcome joins again
	if (answer.error) return refuse(room, `#${room.name}: ${answer.error}`);
	room.members = new Set(answer.members);
	room.joined = true;
	crowd(room, room.members.size);
	merge(room, answer.history);
	for (const message of room.early) add(room, message);
	send(room);
}

function refuse(room, words) {
	const first = !inside && room.name === goal;
	forget(room);
	if (!first) return say(words);
	client.close();
	show(true);
	complain(words, $('room'));
}

function forget(room) {
	rooms.delete(room.name);
	go(room === current ? [...rooms.values()][0] : current);
}

function leave(room) {
	client.call('leave', { room: room.name }).catch(() => {});
	forget(room);
	(current ? text : $('new-room')).focus();
}

function go(room) {
	if (room !== current) {
		if (current) Object.assign(current, { draft: text.value, mark: '', missed: 0 });
		log.ariaLive = 'off'; // what was said before is there to be read, not announced
		setTimeout(() => { log.ariaLive = 'polite'; }, 300);
		text.value = room?.draft ?? '';
	}
	current = room;
	following = true;
	const url = new URL(location);
	if (room) { room.unread = 0; url.searchParams.set('room', room.name); } else url.searchParams.delete('room');
	history.replaceState(null, '', url);
	remember();
	paint();
	fit();
	const mark = log.querySelector('.new');
	if (mark?.offsetTop < log.scrollTop) log.scrollTop = mark.offsetTop;
	if (inside && mouse.matches) text.focus();
}

function visit(name) {
	const known = rooms.get(name), room = known ?? addRoom(name);
	if (!known && client.connected) join(room);
	drawer();
	go(room);
}

function remember() {
	if (current) forever.set('room', current.name);
	thisTab.set('rooms', inside ? [...rooms.keys()] : null);
	thisTab.set('token', token);
	const others = busyRooms.filter(name => !rooms.has(name)).slice(0, 20);
	$('others-title').hidden = !others.length;
	fill($('others'), others.map(name => el('li', {}, button(el('span', {}, name), () => visit(name)))));
}

$('add').onsubmit = event => {
	event.preventDefault();
	const name = roomName($('new-room'));
	$('new-room').value = '';
	if (name) visit(name);
};

function crowd(room, count) {
	room.crowd = {};
	room.count = count;
	soon();
}

client.on('members', ({ room: name, joined, left, count }) => {
	const room = rooms.get(name);
	if (joined) room?.members.add(joined);
	room?.members.delete(left);
	room?.typing.delete(left);
	if (room) crowd(room, count);
});

client.on('typing', ({ room, user }) => {
	if (user !== me) rooms.get(room)?.typing.set(user, Date.now() + TYPING_FOR);
	soon();
});

/* Messages */

client.on('message', message => {
	const room = rooms.get(message.room);
	if (room?.joined) add(room, message); else room?.early.push(message);
});

/** Take a message in, once. */
function add(room, { id, user, text: words, timestamp: at }, old) {
	id = String(id);
	soon();
	const known = room.ids.get(id);
	if (known) { known.at = at; dress(known); return; }
	// Our own, come back: the line that is there becomes the message.
	const line = room.pending.find(one => one.flying && one.user === user && one.text === words);
	const own = user === me, message = { id, user, text: words, at, own, node: line?.node };
	if (line) drop(line);
	dress(message);
	room.ids.set(id, message);
	room.messages.push(message);
	while (room.messages.length > KEPT) room.ids.delete(room.messages.shift().id);
	room.typing.delete(user);
	if (old || own || line) return;
	if ((room !== current || document.hidden) && !room.unread++) room.mark = id;
	if (room === current && !following) room.missed++;
}

/** Fold a (re)join's history into what is here: nothing twice, nothing lost, a gap is said. */
function merge(room, history) {
	const had = room.messages, listed = new Set(history.map(({ id }) => String(id))), start = history[0]?.timestamp;
	const rest = had.filter(({ id }) => !listed.has(id)), later = rest.filter(({ at }) => at > start);
	room.messages = rest.filter(message => !later.includes(message));
	const gap = room.messages.length && history.length && rest.length === had.length;
	for (const message of history) {
		const known = room.ids.get(String(message.id));
		if (known) room.messages.push(known); else add(room, message, !had.length);
	}
	room.messages.push(...later);
	if (gap) room.ids.get(String(history[0].id)).gap = true;
	for (const line of room.pending) line.flying = false; // not in the history, so not taken: goes (again)
}

/** Send what waits, one after the other, so that order holds. */
async function send(room) {
	let line;
	if (room.sending) return;
	room.sending = true;
	while (room.joined && (line = room.pending.find(one => !one.error))) {
		Object.assign(line, { flying: true, user: me });
		try {
			const { id, error } = await client.call('message', { room: room.name, text: line.text });
			if (error) line.error = error;
			else if (room.pending.includes(line)) add(room, { id, user: me, text: line.text, timestamp: Date.now() });
		} catch (problem) {
			if (problem instanceof Lost) break; // stays, and goes out after the next join
			line.error = 'no answer';
		}
		if (line.error) { line.flying = false; dress(line); soon(); }
	}
	room.sending = false;
}

$('composer').onsubmit = event => {
	event.preventDefault();
	const words = text.value.trim();
	text.focus();
	if (!words) return;
	current.pending.push({ room: current, text: words, user: me, at: Date.now(), own: true });
	current.mark = text.value = '';
	following = true;
	fit();
	paint();
	send(current);
};

text.onkeydown = event => {
	if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
	event.preventDefault();
	$('composer').requestSubmit();
};

text.oninput = () => {
	fit();
	if (!text.value.trim() || Date.now() - current.typed < TYPING_EVERY) return;
	current.typed = Date.now();
	client.emit('typing', { room: current.name });
};

function fit() {
	const left = LONGEST - text.value.length;
	text.style.height = 'auto';
	text.style.height = text.scrollHeight + 'px';
	stick();
	$('left').hidden = left > 200;
	write('left', left);
	$('composer').classList.toggle('ready', text.value.trim());
}

log.onscroll = () => {
	if (log.clientHeight === height) following = log.scrollHeight - log.scrollTop - height < 40; // else a resize moved it
	if (following && current?.missed) { current.missed = 0; soon(); }
};
new ResizeObserver(() => { height = log.clientHeight; stick(); }).observe(log);
$('newer').onclick = () => { current.missed = 0; following = true; paint(); text.focus(); };
document.addEventListener('visibilitychange', () => { if (!document.hidden && current) { current.unread = 0; soon(); } });

/* Drawers */

function drawer(id) {
	$('scrim').hidden = !id;
	$('chat').inert = !!id;
	for (const name of ['side', 'people']) {
		const was = $(name).classList.contains('open'), opener = $('open-' + name);
		$(name).classList.toggle('open', name === id);
		opener.ariaExpanded = name === id;
		if (was) opener.focus();
	}
	if (id) Object.assign($(id), { tabIndex: -1 }).focus();
}
$('open-side').onclick = () => drawer('side');
$('open-people').onclick = () => drawer('people');
$('scrim').onclick = matchMedia('(max-width: 759px)').onchange = matchMedia('(max-width: 1079px)').onchange = () => drawer();
onkeydown = event => { if (event.key === 'Escape') drawer(); };

// A keyboard may lie over the page: fit into what is left.
const view = window.visualViewport;
view?.addEventListener('resize', () => {
	if (view.scale === 1) { document.documentElement.style.setProperty('--height', view.height + 'px'); scrollTo(0, 0); }
});

/* Start */

onhashchange = () => location.reload();
const url = new URL(location), given = new URLSearchParams(url.hash.slice(1)).get('token'), known = thisTab.get('rooms');
url.hash = '';
history.replaceState(null, '', url); // a copied address must not carry the token
token = given ?? thisTab.get('token') ?? '';
$('name').value = forever.get('name') ?? '';
$('room').value = url.searchParams.get('room') ?? forever.get('room') ?? 'general';
if (known && !given) { // the same tab, reloaded: straight back in
	known.forEach(addRoom);
	enter();
	$('entry').hidden = true;
	setTimeout(() => { if (!inside) show(true); }, 800);
} else show(true);
