/**
 * onnxruntime 1.30 sends usage data to its maker unless this variable is set before the library is loaded. An engine that people run for
 * themselves does not. Import it before onnxruntime-node; on the main thread too, because a worker thread's environment is a copy that native
 * code does not see.
 */
process.env['ORT_DISABLE_TELEMETRY'] = '1';
