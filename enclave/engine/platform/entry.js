// entry: what the guest calls: setHandler once while loading, start for each request.
(function (native, hooks) {
    'use strict';
    const EXCEPTION = 1, REJECTED = 2, BAD_RESPONSE = 3, OPEN = 10; // guest/guest_abi.h
    const then = Promise.prototype.then, resolve = Promise.resolve.bind(Promise), call = Reflect.apply;
    let handler = null, self, env, pending = 0, hasNoBody = false, isUsed = false;

    hooks.setHandler = (given, envText) => {
        env = envText === '' ? {} : JSON.parse(envText);
        for (const name of Object.keys(env))
            if (env[name] === null) Object.defineProperty(env, name, { get: () => hooks.readSecret(name), enumerable: true });
        if (typeof given === 'function') {
            handler = given;
        } else if (given !== null && typeof given === 'object' && typeof given.fetch === 'function') {
            handler = given.fetch;
            self = given;
        } else if (given === undefined) {
            throw new TypeError('the main module has no default export');
        } else {
            throw new TypeError('the default export is neither a function nor an object with a function "fetch"');
        }
        hooks.setSocketHandler(given.websocket);
    };

    const settle = () => { native.background(--pending); };
    class ExecutionContext {
        #turn = hooks.turn;
        waitUntil(work) {
            hooks.checkTurn(this.#turn);
            native.background(++pending);
            call(then, resolve(work), [settle, (e) => { hooks.report(e); settle(); }]);
        }
        passThroughOnException() {}
    }
    let context = new ExecutionContext();
    // The answer's head goes first; the pump counts as work until then, as waitUntil's does.
    const sendStream = (response, stream) => {
        if (hasNoBody) { // how long it would be nobody knows: OPEN says so
            hooks.ask(OPEN);
            hooks.sendHead(response);
            call(then, stream.cancel(), [undefined, hooks.report]);
            return;
        }
        hooks.ask(OPEN);
        native.background(++pending);
        hooks.sendHead(response);
        call(then, hooks.pump(stream), [settle, settle]);
    };
    const describe = (v) => (v === null ? 'null' : typeof v === 'object' ? `an object of ${v.constructor?.name ?? 'no class'}` : `a value of type ${typeof v}`);
    const finish = (value) => {
        try {
            if (!hooks.isResponse(value)) throw new TypeError(`the handler gave ${describe(value)}, not a Response`);
            const stream = hooks.send(value);
            if (stream !== null) sendStream(value, stream);
        } catch (e) {
            native.fail(BAD_RESPONSE, e);
        }
    };
    const reject = (e) => native.fail(REJECTED, e);
    // The host's own name, which no caller can send; it stands last.
    const isEvent = (headers) => headers.length > 0 && headers[headers.length - 2] === 'redoubt-event';
    const startEvent = (method, url, headers, body) => {
        if (!hooks.hasSocketHandler()) {
            native.respond(501, [], null);
            return;
        }
        let event, answer;
        try {
            event = hooks.readEvent(url, body);
            answer = event.run(method, headers, env, context);
        } catch (e) {
            native.fail(EXCEPTION, e);
            return;
        }
        call(then, resolve(answer), [() => {
            try {
                native.respond(200, [], event.finish());
            } catch (e) {
                native.fail(REJECTED, e);
            }
        }, reject]);
    };
    hooks.start = (method, url, headers, body) => {
        if (isUsed) {
            hooks.turn++;
            context = new ExecutionContext();
            hooks.redraw();
        }
        isUsed = true;
        hooks.startClock();
        hooks.currentUrl = url;
        hasNoBody = method === 'HEAD';
        if (isEvent(headers)) {
            startEvent(method, url, headers.slice(0, -2), body);
            return;
        }
        let answer;
        try {
            answer = call(handler, self, [hooks.newRequest(method, url, headers, body), env, context]);
        } catch (e) {
            native.fail(EXCEPTION, e);
            return;
        }
        call(then, resolve(answer), [finish, reject]);
    };
})
