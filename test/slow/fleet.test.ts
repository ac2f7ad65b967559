/** Several engine processes whose connections are handed to them: what `test/fleet.test.ts` tells of a shared port. */
import { test } from 'tap';
import { tellFleetStory } from '../support/fleet-story.js';

test('two processes, connections handed over', (t) => tellFleetStory(t, 'ws'));
