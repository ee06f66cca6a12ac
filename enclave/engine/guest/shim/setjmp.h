/* Included by the engine's number printing, which uses nothing of it. */
