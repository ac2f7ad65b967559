/** A caller in the browser: microphone, loudspeaker and transcript over the public WebSocket protocol. Runs in the page. */
const page = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [element.id, element]));
const leadSeconds = 0.04; // a reply starts this far ahead of the clock, so that its second piece is never late
let call; // the call in progress

/** Plays pieces end to end. The context has the rate of the pieces, so each of them starts exactly on a sample. */
function openSpeaker(sampleRate, onQuiet) {
  const context = new AudioContext({ sampleRate });
  let voice; // gain of the reply being played
  let endsAt = 0;
  return {
    /** `bytes`: whole samples of 16 bits, at least one. */
    play(bytes) {
      const view = new DataView(bytes.buffer);
      const samples = Float32Array.from({ length: bytes.length / 2 }, (_, index) => view.getInt16(2 * index, true) / 32768);
      const buffer = new AudioBuffer({ length: samples.length, sampleRate });
      buffer.copyToChannel(samples, 0);
      const source = new AudioBufferSourceNode(context, { buffer });
      voice ??= new GainNode(context);
      source.connect(voice).connect(context.destination);
      if (endsAt < context.currentTime) endsAt = context.currentTime + leadSeconds;
      source.start(endsAt);
      endsAt += buffer.duration;
      const ownEnd = endsAt;
      source.onended = () => ownEnd === endsAt && onQuiet();
    },
    /** Silence within 10 ms; what was queued is gone. */
    cut() {
      voice?.gain.setValueAtTime(1, context.currentTime).linearRampToValueAtTime(0, context.currentTime + 0.01);
      voice = undefined;
      endsAt = 0;
    },
    close: () => context.close(),
  };
}

/** Calls `onPiece` with 16 kHz pieces. Rejects when there is no microphone, or the visitor or the browser forbids it. */
async function openMicrophone(onPiece) {
  if (!navigator.mediaDevices) throw new Error('browsers give it only to https:// and localhost.');
  const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  const mediaStream = await navigator.mediaDevices.getUserMedia({ audio });
  const [track] = mediaStream.getAudioTracks();
  const context = new AudioContext();
  await context.audioWorklet.addModule('/microphone.js');
  const worklet = new AudioWorkletNode(context, 'microphone', { numberOfOutputs: 0 });
  worklet.port.onmessage = ({ data }) => onPiece(data);
  new MediaStreamAudioSourceNode(context, { mediaStream }).connect(worklet);
  return { track, close: () => [track.stop(), context.close()] };
}

function element(name, textContent, className = '') {
  return Object.assign(document.createElement(name), { textContent, className });
}

/** Adds a line to the conversation; `kind`: user, agent or notice. */
function addLine(kind, text) {
  const line = element('li', '', kind);
  line.append(element('p', text));
  page.transcript.append(line);
  page.welcome.hidden = true;
  return line;
}

/** Strikes out what was not heard any more. The corrected text is a prefix of the original, often with an ellipsis. */
function strike(words, original, corrected) {
  const heard = corrected.replace(/\s*(…|\.\.\.)$/, '');
  if (original.startsWith(heard)) words.replaceChildren(heard, element('del', original.slice(heard.length)));
  else words.replaceChildren(`${corrected} `, element('del', original));
}

function startCall() {
  const url = new URL(`/v1/convai/conversation${location.search}`, location.href.replace(/^http/, 'ws'));
  const socket = new WebSocket(url, ['convai']);
  const agentLines = new Map(); // by event id
  const unsent = []; // typed before the call was ready
  let speaker, microphone; // from the metadata on
  let heardLine; // a transcript that may still change
  let asked; // the turn that waits for its first sound
  let newestCutId = 0,
    newestAudioId = 0;
  let isOver = false;

  const send = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
  const show = (state, text) => [(document.body.dataset.state = state), (page.state.textContent = text)];
  /** The wait is counted from the transcript, or from what was typed: when the speech ended, only the server knows. */
  function ask(line, since) {
    asked = { line, since, atMs: performance.now(), afterId: newestAudioId };
    show('thinking', 'Thinking …');
  }
  function say(line) {
    if (!speaker) return unsent.push(line.textContent);
    send({ type: 'user_message', text: line.textContent });
    ask(line, 'sending');
  }
  async function listen() {
    try {
      const opened = await openMicrophone(({ pcm, level }) => {
        page.callButton.style.setProperty('--level', level.toFixed(2));
        send({ user_audio_chunk: btoa(String.fromCharCode(...new Uint8Array(pcm))) });
      });
      if (isOver) return opened.close();
      microphone = opened;
      page.muteButton.hidden = false;
    } catch (error) {
      addLine('notice', `No microphone: ${error.message} You can still type, and listen.`);
    }
  }
  function finish(code, reason) {
    if (isOver) return;
    isOver = true;
    call = undefined;
    if (code !== 1000) addLine('notice', reason || (speaker ? 'The connection was lost.' : 'The server cannot be reached.'));
    speaker?.close();
    microphone?.close();
    show('idle', code === 1000 ? 'Call ended' : 'Not connected');
    page.callButton.textContent = 'Start call';
    page.callButton.style.setProperty('--level', 0);
    page.muteButton.textContent = 'Mute';
    page.muteButton.hidden = true;
  }

  /** By type of message; each gets the one object that a message carries beside its type. */
  const reactions = {
    conversation_initiation_metadata({ agent_output_audio_format: format }) {
      if (!format.startsWith('pcm_')) return [finish(1002, `This page plays PCM; the agent sends ${format}.`), socket.close()];
      speaker = openSpeaker(Number(format.replace('pcm_', '')), () => isOver || show('listening', 'Listening'));
      show('listening', 'Listening');
      for (const text of unsent) send({ type: 'user_message', text });
      listen();
    },
    ping: ({ event_id }) => send({ type: 'pong', event_id }),
    audio({ event_id, audio_base_64 }) {
      if (event_id <= newestCutId) return;
      const bytes = Uint8Array.from(atob(audio_base_64), (letter) => letter.charCodeAt(0));
      speaker.play(bytes);
      if (!bytes.some(Boolean)) return; // silence is played, and is no answer
      show('speaking', 'Speaking');
      if (event_id > asked?.afterId) {
        asked.line.append(element('small', `first audio ${Math.round(performance.now() - asked.atMs)} ms after ${asked.since}`));
        asked = undefined;
      }
      newestAudioId = event_id;
    },
    interruption({ event_id }) {
      newestCutId = event_id;
      speaker.cut();
      show('listening', 'Listening');
    },
    tentative_user_transcript({ user_transcript }) {
      heardLine ??= addLine('user', '');
      heardLine.firstChild.textContent = user_transcript;
    },
    user_transcript(event) {
      reactions.tentative_user_transcript(event);
      ask(heardLine, 'transcript');
      heardLine = undefined;
    },
    agent_response: ({ event_id, agent_response }) => agentLines.set(event_id, addLine('agent', agent_response)),
    agent_response_correction({ event_id, original_agent_response, corrected_agent_response }) {
      const line = agentLines.get(event_id);
      if (line) strike(line.firstChild, original_agent_response, corrected_agent_response);
    },
    client_tool_call: ({ tool_call_id }) =>
      send({ type: 'client_tool_result', tool_call_id, result: 'This page has no tools.', is_error: true }),
    error: ({ message, reason }) => addLine('notice', message ?? reason),
  };

  socket.onopen = () => send({ type: 'conversation_initiation_client_data' });
  socket.onmessage = ({ data }) => {
    const { type, ...rest } = JSON.parse(data);
    if (!isOver) reactions[type]?.(Object.values(rest)[0]);
  };
  socket.onclose = ({ code, reason }) => finish(code, reason);
  show('connecting', 'Connecting …');
  page.callButton.textContent = 'End call';
  return {
    say,
    mute: (isMuted) => (microphone.track.enabled = !isMuted), // goes on as silence, which keeps the server's clock right
    end: () => [socket.close(1000, 'User ended conversation'), finish(1000)],
  };
}

new MutationObserver(() => (page.scroller.scrollTop = 1e9)).observe(page.transcript, { childList: true, subtree: true });
page.callButton.onclick = () => (call ? call.end() : (call = startCall()));
page.muteButton.onclick = () => {
  const isMuted = page.muteButton.textContent === 'Mute';
  page.muteButton.textContent = isMuted ? 'Unmute' : 'Mute';
  call.mute(isMuted);
};
page.compose.onsubmit = (event) => {
  event.preventDefault();
  const text = page.text.value.trim();
  if (text === '') return;
  page.text.value = '';
  call ??= startCall();
  call.say(addLine('user', text));
};
