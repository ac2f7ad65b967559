/**
 * Stands for `livekit-client` in the build: the official client imports it for WebRTC, which this server does not speak and the console never
 * asks for. Whoever reaches it learns so.
 */
function refuse(): never {
  throw new Error('This server speaks WebSocket only.');
}

export class Room {
  constructor() {
    refuse();
  }
}
export const createLocalAudioTrack = refuse;
export const RoomEvent = {};
export const ConnectionState = {};
export const Track = { Source: {}, Kind: {} };
