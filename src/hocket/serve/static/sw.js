// The service worker: shows what is pushed while no page is open, and opens what it is about.

addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil(clients.claim()));

addEventListener('push', event => {
	let told = {};
	try { told = event.data?.json() ?? {}; } catch { /* still a push, and it must be shown */ }
	const { title, body = '', url = '', icon, tag, id } = told;
	// What has the same tag is replaced: a push that comes twice is seen once.
	event.waitUntil(registration.showNotification(title || body || 'Hocket', { body: title ? body : '', icon: icon || '/static/favicon.svg', tag: tag || id, data: { url } }));
});

addEventListener('notificationclick', event => {
	event.notification.close();
	event.waitUntil(show(event.notification.data?.url || '/'));
});

async function show(text) {
	const url = URL.canParse(text, location) ? new URL(text, location) : new URL('/', location);
	if (!/^https?:$/.test(url.protocol)) return;
	const windows = await clients.matchAll({ type: 'window', includeUncontrolled: true });
	const open = windows.find(one => one.url === url.href) ?? (url.href === new URL('/', location).href ? windows[0] : null);
	await (open ? open.focus() : clients.openWindow(url.href));
}
