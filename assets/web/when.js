// The second value of an event becomes the time at which it happened.
(session, _, ...values) => [session, performance.now(), ...values]
