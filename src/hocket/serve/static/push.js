// Web Push for this browser: asked for by the user, registered as a device, forgotten at sign-out.

import { saved } from './page.js';

const kept = saved('localStorage');

export class Push {
	#api;

	constructor(api) { this.#api = api; }

	static get possible() { return isSecureContext && 'serviceWorker' in navigator && 'PushManager' in window; }

	get isOn() { return !!kept.get('device') && Notification.permission === 'granted'; }

	async turnOn() {
		const { key } = await this.#api.get('/v1/webpush/key');
		if (await Notification.requestPermission() !== 'granted') throw new Error('your browser does not let this page notify you');
		await navigator.serviceWorker.register('/sw.js');
		const { pushManager } = await navigator.serviceWorker.ready;
		const options = { userVisibleOnly: true, applicationServerKey: key };
		// Of an older key of the server's, it would have to be given up first.
		const subscription = await pushManager.subscribe(options).catch(async problem => {
			const old = await pushManager.getSubscription();
			if (!old) throw problem;
			await old.unsubscribe();
			return pushManager.subscribe(options);
		});
		const { id } = await this.#api.post('/v1/devices', { provider: 'webpush', token: subscription.toJSON() });
		kept.set('device', id);
	}

	/** Also when the server is not there: then its next push finds that nobody listens. */
	async turnOff() {
		const id = kept.get('device');
		if (!id) return;
		kept.set('device', null);
		const gone = this.#api.delete('/v1/devices/' + id).catch(() => {});
		const registration = await navigator.serviceWorker?.getRegistration('/');
		const subscription = await registration?.pushManager.getSubscription();
		await Promise.all([gone, subscription?.unsubscribe()]);
	}
}
